/* The matrix passes of the native backend, and its loop over samples.

A network is copied into a workspace that stays in the second-level cache while the network
works through all samples between two evaluations. There each weight matrix W [n_post, n_pre]
lies in tiles of a few vectors of columns, [tile][n_post][width * LANES], so that one tile fits
the first-level cache: what goes back, W'[error, post], the update and, in the first layer, the
product with the next input are then one pass over W. Feedback B [n_pre, n_post] lies there as
its transpose, which makes its passes the same as those of W.

Columns from n_pre on are padding; they stay zero.

What the rules compute stands in the generated part, which follows this one. Vectors are those
of gcc and clang for any processor. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Two registers together where there are only smaller ones. */
#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#else
#define VECTOR_BYTES 32
#endif
#define LANES ((long)(VECTOR_BYTES / sizeof(real)))
#define WIDEST 4
#define TILE_BYTES 32768

typedef real vec __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef real quad __attribute__((vector_size(4 * sizeof(real)), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define SIMD _Pragma("omp simd")

/* What Python hands over; all sizes and strides count elements. */
typedef struct {
    int64_t depth, replicas, samples, batch, classes, stop;
    int64_t next;              /* the first replica that no thread has taken yet */
    const int64_t *sizes;      /* [depth + 1] */
    const int64_t *skips;      /* [depth], whether a residual connection goes around it */
    const int64_t *kinds;      /* [depth], which generated pass */
    const uint8_t *alive;      /* [replicas] */
    real *const *weights;      /* [depth], each [replicas, n_post, n_pre] */
    const int64_t *weight_strides;
    real *const *feedback;     /* [depth] or null, each [replicas, n_pre, feedback_rows] */
    const int64_t *feedback_strides;
    const int64_t *feedback_rows;
    real *const *states;       /* [depth, STATES], null where the rule does not act */
    const int64_t *state_strides;
    const real *thetas;        /* [replicas, THETAS] */
    const real *constants;
    const real *inputs;        /* [N, n_0] */
    const real *targets;       /* [N, classes] */
    const int64_t *order;      /* [replicas, samples] */
    int64_t *failed;           /* [replicas], out: index of the failed point, or -1 */
} job_t;

/* One projection of the network that a thread works on. Rows of events are `_pad` apart. */
typedef struct {
    long n_pre, n_post, n_out, pre_pad, post_pad, out_pad, feedback_rows, widest, kind;
    int skip;
    vec *weight, *feedback; /* in tiles */
    vec *parts;             /* [events][n_post], z before its lanes are added up */
    real *z, *post, *activity, *error;
    real *recon, *weight_error, *feedback_error, *arrived;
    real *buffers[BUFFERS + 1];
    /* of other projections, or the input */
    real *pre, *branch, *pre_error, *above, *output_error;
    real *state[STATES + 1];
} projection_t;

typedef struct {
    long depth;
    const real *theta, *constant;
    real *inputs[2], *input_error;
    projection_t *projections;
} network_t;

INLINE long least(long a, long b) { return a < b ? a : b; }
INLINE long vectors(long units) { return (units + LANES - 1) / LANES; }
INLINE long padded(long units) { return vectors(units) * LANES; }

/* Tiles of one projection: nearly equal widths of at most `widest` vectors. */
INLINE long tile_count(const projection_t *p) {
    return (vectors(p->n_pre) + p->widest - 1) / p->widest;
}
INLINE long tile_begin(const projection_t *p, long tile) {
    return vectors(p->n_pre) * tile / tile_count(p);
}

/* out[v] = sum_i left[i] w[i][v], for one or two left vectors at once. */
INLINE void send_back(const vec *w, long rows, const int width, const int count,
                      const real *const *left, real *const *out) {
    vec sum[2][WIDEST] = {0};
    for (long i = 0; i < rows; i++)
        for (int v = 0; v < width; v++) {
            const vec a = w[i * width + v];
            for (int c = 0; c < count; c++) sum[c][v] += a * left[c][i];
        }
    for (int c = 0; c < count; c++)
        for (int v = 0; v < width; v++) ((vec *)out[c])[v] = sum[c][v];
}

/* w[i][v] += sum over c, e of row[c][e][i] column[c][e][v], after w[i][v] has decayed. */
INLINE void update(vec *w, long rows, const int width, const int count, long events,
                   const real *const *row, long row_pad, const real *const *column,
                   long column_pad, const real *row_decay, const real *column_decay,
                   const int forward, long next, const real *x, vec *parts, long parts_pad) {
    const int single = events == 1 && next == 1;
    vec right[COUNTS][WIDEST], ahead[WIDEST];
    if (single)
        for (int v = 0; v < width; v++) {
            for (int c = 0; c < count; c++) right[c][v] = ((const vec *)column[c])[v];
            if (forward) ahead[v] = ((const vec *)x)[v];
        }
    for (long i = 0; i < rows; i++) {
        vec a[WIDEST];
        for (int v = 0; v < width; v++) {
            a[v] = w[i * width + v];
            if (row_decay) a[v] -= a[v] * row_decay[i];
            if (column_decay) a[v] -= a[v] * ((const vec *)column_decay)[v];
        }
        if (single) {
            for (int c = 0; c < count; c++)
                for (int v = 0; v < width; v++) a[v] += right[c][v] * row[c][i];
        } else {
            for (int c = 0; c < count; c++)
                for (long e = 0; e < events; e++) {
                    const real left = row[c][e * row_pad + i];
                    const vec *r = (const vec *)(column[c] + e * column_pad);
                    for (int v = 0; v < width; v++) a[v] += r[v] * left;
                }
        }
        if (count || row_decay || column_decay)
            for (int v = 0; v < width; v++) w[i * width + v] = a[v];
        if (forward && single) {
            vec sum = parts[i];
            for (int v = 0; v < width; v++) sum += a[v] * ahead[v];
            parts[i] = sum;
        } else if (forward) {
            for (long e = 0; e < next; e++) {
                const vec *ahead_e = (const vec *)(x + e * column_pad);
                vec sum = parts[e * parts_pad + i];
                for (int v = 0; v < width; v++) sum += a[v] * ahead_e[v];
                parts[e * parts_pad + i] = sum;
            }
        }
    }
}

/* Call `update` with the numbers that matter for speed as constants. */
#define UPDATE(w, rows, width, count, events, row, row_pad, column, column_pad, row_decay,         \
               column_decay, forward, next, x, parts, parts_pad)                                   \
    do {                                                                                           \
        if ((events) == 1 && (next) == 1) {                                                        \
            BY_WIDTH(width, update, w, rows, count, 1, row, row_pad, column, column_pad,           \
                     row_decay, column_decay, forward, 1, x, parts, parts_pad)                     \
        } else {                                                                                   \
            BY_WIDTH(width, update, w, rows, count, events, row, row_pad, column, column_pad,      \
                     row_decay, column_decay, forward, next, x, parts, parts_pad)                  \
        }                                                                                          \
    } while (0)
#define SEND_BACK(w, rows, width, count, left, out)                                                \
    do {                                                                                           \
        BY_WIDTH(width, send_back, w, rows, count, left, out)                                      \
    } while (0)
#define BY_WIDTH(width, function, w, rows, ...)                                                    \
    switch (width) {                                                                               \
    case 1: function(w, rows, 1, __VA_ARGS__); break;                                              \
    case 2: function(w, rows, 2, __VA_ARGS__); break;                                              \
    case 3: function(w, rows, 3, __VA_ARGS__); break;                                              \
    default: function(w, rows, 4, __VA_ARGS__);                                                    \
    }

/* parts = W x, lanes not yet added up. */
static void forward(projection_t *p, long events, const real *x) {
    memset(p->parts, 0, sizeof(vec) * events * p->post_pad);
    for (long t = 0; t < tile_count(p); t++) {
        const long begin = tile_begin(p, t), width = tile_begin(p, t + 1) - begin;
        UPDATE(p->weight + begin * p->n_post, p->n_post, width, 0, events, 0, 0, 0, p->pre_pad, 0,
               0, 1, events, x + begin * LANES, p->parts, p->post_pad);
    }
}

/* z[i] = the sum over the lanes of parts[i], four rows at a time. */
static void add_lanes(projection_t *p, long events) {
    for (long e = 0; e < events; e++) {
        const real *parts = (const real *)(p->parts + e * p->post_pad);
        real *z = p->z + e * p->post_pad;
        for (long i = 0; i < p->post_pad; i += 4, parts += 4 * LANES) {
            quad sum[4];
            for (int r = 0; r < 4; r++) {
                sum[r] = *(const quad *)(parts + r * LANES);
                for (int q = 4; q < LANES; q += 4) sum[r] += *(const quad *)(parts + r * LANES + q);
            }
            for (int r = 0; r < 4; r++)
                z[i + r] = (sum[r][0] + sum[r][1]) + (sum[r][2] + sum[r][3]);
        }
    }
}
