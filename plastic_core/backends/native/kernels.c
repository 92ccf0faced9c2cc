/* The matrix passes of the native backend.

A network is copied into a workspace that stays in the second-level cache while the network
works through all samples between two evaluations. There each weight matrix W [n_post, n_pre]
lies in tiles, [tile][row][width * LANES], each a few vectors of columns wide. Feedback
B [n_pre, n_post] lies there as its transpose, which makes its passes the same as those of W.

What costs is writing: a pass that changes W takes as long as three that read it. So the
increments of some updates wait as their factors, W = W_0 + L R', and are added in one pass.
Each tile has room below its rows for the columns of the factors that wait, the rows of R'; as
more rows of W_0 they take part in its products:

    W y  = W_0 y + L (R' y)        W' e = W_0' e + R (L' e)

A decay that is the same for all weights waits too: W = (1 - lost) (W_0 + L R').

Where inputs are known ahead, rows of R' that are v' W_0 need not be known before they are added,
see ahead.c; they lie below the others.

Columns from n_pre on are padding; they stay zero. Vectors are those of gcc and clang for any
processor. */

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
#define WIDEST 3

typedef real vec __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef real quad __attribute__((vector_size(4 * sizeof(real)), may_alias));

/* Keeps what is used several times in a register; gcc would load it for each use. */
#if defined(__AVX512F__)
#define IN_REGISTER(x) __asm__("" : "+v"(x))
#elif defined(__AVX__)
#define IN_REGISTER(x) __asm__("" : "+x"(x))
#else
#define IN_REGISTER(x) (void)0
#endif

#define INLINE static inline __attribute__((always_inline))
#define SIMD _Pragma("omp simd")
#define PRAGMA(text) _Pragma(#text)
#define SUM(total) PRAGMA(omp simd reduction(+ : total))

INLINE long least(long a, long b) { return a < b ? a : b; }
INLINE long vectors(long units) { return (units + LANES - 1) / LANES; }
INLINE long padded(long units) { return vectors(units) * LANES; }

/* Vectors are computed a whole number of registers at a time; their padding must be zero. */
INLINE void clear_padding(real *x, long units) {
    memset(x + units, 0, (padded(units) - units) * sizeof(real));
}

/* Hands out zeroed memory at multiples of a cache line; with no memory given it only counts. */
typedef struct {
    char *memory;
    size_t used;
} arena_t;

static void *take(arena_t *arena, long bytes) {
    void *here = arena->memory ? arena->memory + arena->used : 0;
    arena->used += (size_t)(bytes + 63) / 64 * 64;
    return here;
}

/* A matrix and the increments that wait. */
typedef struct {
    long rows, columns;
    long room;   /* for so many waiting factors, */
    long room_back; /* and so many that are W' v, made as they are added */
    long period; /* updates whose increments wait for one pass */
    long updates; /* since the last of these passes */
    long waiting, waiting_back; /* factors that do */
    double lost; /* the fraction that has decayed since the last pass */
    int patient; /* whether decays wait */
    long *begins; /* of the tiles, and where the last one ends, in vectors */
    vec *tiles;  /* [tile][height][width] */
    real *left;  /* [room + room_back][padded(rows)], L' */
} matrix_t;

/* Tiles of nearly equal widths, at most WIDEST vectors. */
INLINE long tile_count(const matrix_t *m) {
    return (vectors(m->columns) + WIDEST - 1) / WIDEST;
}
INLINE long height(const matrix_t *m) { return m->rows + m->room + m->room_back; }
INLINE vec *tile_at(const matrix_t *m, long begin) { return m->tiles + begin * height(m); }

/* For each tile `function` with its width as a constant. */
#define FOR_TILES(m, function, ...)                                                                \
    for (long t_ = 0; t_ < tile_count(m); t_++) {                                                  \
        const long begin = (m)->begins[t_];                                                        \
        vec *tile = tile_at(m, begin);                                                             \
        switch ((m)->begins[t_ + 1] - begin) {                                                     \
        case 1: function(1, tile, begin, __VA_ARGS__); break;                                      \
        case 2: function(2, tile, begin, __VA_ARGS__); break;                                      \
        default: function(3, tile, begin, __VA_ARGS__);                                            \
        }                                                                                          \
    }

/* sum[c] += left[c][i] row. */
INLINE void add_row(const int width, const int count, const vec *row, const real *const *left,
                    long i, vec sum[2][WIDEST]) {
    vec factor[2];
    for (int c = 0; c < count; c++) {
        factor[c] = left[c][i] - (vec){0}; /* which a compiler leaves out */
        IN_REGISTER(factor[c]);
    }
    for (int v = 0; v < width; v++) {
        vec w = row[v];
        IN_REGISTER(w);
        for (int c = 0; c < count; c++) sum[c][v] += w * factor[c];
    }
}

/* sum[c] += sum_i left[c][i] tile[i], two rows at a time to have more sums under way. */
INLINE void add_rows(const int width, const int count, const vec *tile, long rows,
                     const real *const *left, vec sum[2][WIDEST]) {
    vec odd[2][WIDEST] = {0};
    long i = 0;
    for (; i + 1 < rows; i += 2, tile += 2 * width) {
        add_row(width, count, tile, left, i, sum);
        add_row(width, count, tile + width, left, i + 1, odd);
    }
    for (int v = 0; v < width; v++)
        for (int c = 0; c < count; c++) {
            if (i < rows) sum[c][v] += tile[v] * left[c][i];
            sum[c][v] += odd[c][v];
        }
}

INLINE void back_tile(const int width, const vec *tile, long begin, const matrix_t *m,
                      const int count, const real *const *left, const real *const *dots,
                      real *const *out) {
    vec sum[2][WIDEST] = {0};
    add_rows(width, count, tile, m->rows, left, sum);
    add_rows(width, count, tile + m->rows * width, m->waiting, dots, sum);
    const real kept = (real)(1 - m->lost);
    for (int c = 0; c < count; c++)
        for (int v = 0; v < width; v++) ((vec *)out[c])[begin + v] = sum[c][v] * kept;
}

/* What waits is added to so many rows at a time. */
#define ROWS 4

/* The sum of the products of `count` left factors with right ones, some vectors apart, is added
to a. */
INLINE void add_products(const int width, const int rows, vec a[ROWS][WIDEST], const vec *right,
                         long right_step, const real *left, long left_pad, long count) {
    for (long k = 0; k < count; k++, right += right_step, left += left_pad) {
        vec column[WIDEST];
        for (int v = 0; v < width; v++) {
            column[v] = right[v];
            IN_REGISTER(column[v]);
        }
        for (int r = 0; r < rows; r++) {
            const real factor = left[r];
            for (int v = 0; v < width; v++) a[r][v] += column[v] * factor;
        }
    }
}

INLINE void update_rows(const int width, const int rows, vec *tile, const matrix_t *m, long i) {
    vec a[ROWS][WIDEST], *w = tile + i * width;
    const long pad = padded(m->rows);
    const vec *right = tile + m->rows * width;
    const real *left = m->left + i;
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < width; v++) a[r][v] = w[r * width + v];
    add_products(width, rows, a, right, width, left, pad, m->waiting);
    add_products(width, rows, a, right + m->room * width, width, left + m->room * pad, pad,
                 m->waiting_back);
    const real lost = (real)m->lost;
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < width; v++) w[r * width + v] = a[r][v] - a[r][v] * lost;
}

INLINE void update_tile(const int width, vec *tile, long begin, const matrix_t *m) {
    long i = 0;
    (void)begin;
    for (; i + ROWS <= m->rows; i += ROWS) update_rows(width, ROWS, tile, m, i);
    for (; i < m->rows; i++) update_rows(width, 1, tile, m, i);
}

/* out = left' tile of up to ROWS vectors; the results are some vectors apart. */
INLINE void send_some_back(const int width, const int count, const vec *tile, const matrix_t *m,
                           const real *left, vec *out, long out_step) {
    const long pad = padded(m->rows);
    vec sum[ROWS][WIDEST] = {0};
    for (long i = 0; i < m->rows; i++, tile += width) {
        vec w[WIDEST];
        for (int v = 0; v < width; v++) {
            w[v] = tile[v];
            IN_REGISTER(w[v]);
        }
        for (int c = 0; c < count; c++) {
            const real factor = left[c * pad + i];
            for (int v = 0; v < width; v++) sum[c][v] += w[v] * factor;
        }
    }
    for (int c = 0; c < count; c++)
        for (int v = 0; v < width; v++) out[c * out_step + v] = sum[c][v];
}

/* The same of many. */
INLINE void send_many_back(const int width, const vec *tile, const matrix_t *m, long count,
                           const real *left, vec *out, long out_step) {
    const long pad = padded(m->rows);
    long c = 0;
    for (; c + ROWS <= count; c += ROWS)
        send_some_back(width, ROWS, tile, m, left + c * pad, out + c * out_step, out_step);
    for (; c < count; c++)
        send_some_back(width, 1, tile, m, left + c * pad, out + c * out_step, out_step);
}

/* w -= w f, f_i for rows or f_j for columns. Not w *= 1 - f, which would round a small f. */
INLINE void decay_tile(const int width, vec *tile, long begin, const matrix_t *m,
                       const real *by_row, const real *by_column) {
    for (long i = 0; i < m->rows; i++)
        for (int v = 0; v < width; v++) {
            vec *w = &tile[i * width + v];
            if (by_row) *w -= *w * by_row[i];
            if (by_column) *w -= *w * ((const vec *)by_column)[begin + v];
        }
}

/* Leave out the connections where the mask is 0. */
INLINE void mask_tile(const int width, vec *tile, long begin, const matrix_t *m,
                      const matrix_t *mask) {
    const vec *there = tile_at(mask, begin);
    for (long i = 0; i < m->rows * width; i++) tile[i] *= there[i];
}

/* Take rows of columns into the tile, below those that wait there. */
INLINE void wait_tile(const int width, vec *tile, long begin, const matrix_t *m, long at,
                      const real *column) {
    vec *to = tile + (m->rows + at) * width;
    for (int v = 0; v < width; v++) to[v] = ((const vec *)column)[begin + v];
}

static void send_back_one(const matrix_t *m, const real *const *left, const real *const *dots,
                          real *const *out) {
    FOR_TILES(m, back_tile, m, 1, left, dots, out)
}

static void send_back_two(const matrix_t *m, const real *const *left, const real *const *dots,
                          real *const *out) {
    FOR_TILES(m, back_tile, m, 2, left, dots, out)
}

static void nothing_waits(matrix_t *m) {
    m->waiting = m->waiting_back = 0;
    m->lost = 0;
}

/* Add what waits. */
static void flush(matrix_t *m) {
    FOR_TILES(m, update_tile, m)
    nothing_waits(m);
}

static void decay(const matrix_t *m, const real *by_row, const real *by_column) {
    FOR_TILES(m, decay_tile, m, by_row, by_column)
}

static void leave_out(const matrix_t *m, const matrix_t *mask) {
    FOR_TILES(m, mask_tile, m, mask)
}

/* Let an increment row column' wait; the row is multiplied by the factor. */
static void postpone(matrix_t *m, const real *row, const real *column, real factor) {
    real *left = m->left + m->waiting * padded(m->rows);
    SIMD for (long i = 0; i < m->rows; i++) left[i] = row[i] * factor;
    FOR_TILES(m, wait_tile, m, m->waiting, column)
    m->waiting++;
}

#ifdef __clang__
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#ifdef DOUBLE
typedef int64_t four __attribute__((vector_size(32)));
#else
typedef int32_t four __attribute__((vector_size(16)));
#endif
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (four){__VA_ARGS__})
#endif

INLINE quad half_sum(const real *parts) {
    quad sum = *(const quad *)parts;
    for (int q = 4; q < LANES; q += 4) sum += *(const quad *)(parts + q);
    return sum;
}

/* z[i] = the sum over the lanes of parts[i], four rows at a time. */
INLINE void add_lanes(const vec *parts, long rows, real *z) {
    for (long i = 0; i < rows; i += 4) {
        quad s[4];
        for (int r = 0; r < 4; r++) s[r] = half_sum((const real *)&parts[i + r]);
        const quad ab = SHUFFLE(s[0], s[1], 0, 4, 1, 5) + SHUFFLE(s[0], s[1], 2, 6, 3, 7);
        const quad cd = SHUFFLE(s[2], s[3], 0, 4, 1, 5) + SHUFFLE(s[2], s[3], 2, 6, 3, 7);
        *(quad *)(z + i) = SHUFFLE(ab, cd, 0, 1, 4, 5) + SHUFFLE(ab, cd, 2, 3, 6, 7);
    }
}

#define ROWS_FORWARD 8

/* The sums of so many rows from the i-th on, over a tile, lanes not yet added up. */
INLINE void forward_tile(const int width, const int rows, const vec *tile, const vec *x, vec *sum) {
    for (int v = 0; v < width; v++) {
        vec ahead = x[v];
        IN_REGISTER(ahead);
        for (int r = 0; r < rows; r++) sum[r] += tile[r * width + v] * ahead;
    }
}

INLINE void forward_rows(const int rows, const matrix_t *m, long i, const real *x, real *out) {
    vec sum[ROWS_FORWARD] = {0};
    for (long t = 0; t < tile_count(m); t++) {
        const long begin = m->begins[t], width = m->begins[t + 1] - begin;
        const vec *tile = tile_at(m, begin) + i * width, *from = (const vec *)x + begin;
        switch (width) {
        case 1: forward_tile(1, rows, tile, from, sum); break;
        case 2: forward_tile(2, rows, tile, from, sum); break;
        default: forward_tile(3, rows, tile, from, sum);
        }
    }
    add_lanes(sum, rows, out);
}

/* The scalar products of x with so many rows of the tiles, those that wait among them. */
static void forward(const matrix_t *m, long first, long count, const real *x, real *out) {
    long i = 0;
    for (; i + ROWS_FORWARD <= count; i += ROWS_FORWARD)
        forward_rows(ROWS_FORWARD, m, first + i, x, out + i);
    for (; i + 4 <= count; i += 4) forward_rows(4, m, first + i, x, out + i);
    for (; i < count; i++) {
        quad one;
        forward_rows(1, m, first + i, x, (real *)&one);
        out[i] = one[0];
    }
}

/* The scalar products of a vector with each row of a matrix. */
static void dot_rows(const real *rows, long count, long pad, const real *vector, real *dots,
                     vec *parts) {
    for (long k = 0; k < count; k++) {
        const vec *row = (const vec *)(rows + k * pad);
        vec sum = {0};
        for (long v = 0; v < pad / LANES; v++) sum += row[v] * ((const vec *)vector)[v];
        parts[k] = sum;
    }
    add_lanes(parts, count, dots);
}

/* sum += the rows of a matrix, each times its factor. */
static void add_rows_times(const real *rows, long count, long pad, const real *factors, real *sum) {
    long k = 0;
    for (; k + 4 <= count; k += 4) {
        const real *r = rows + k * pad, *f = factors + k;
        const real a = f[0], b = f[1], c = f[2], d = f[3];
        SIMD for (long i = 0; i < pad; i++)
            sum[i] += r[i] * a + r[pad + i] * b + r[2 * pad + i] * c + r[3 * pad + i] * d;
    }
    for (; k < count; k++) {
        const real *r = rows + k * pad, factor = factors[k];
        SIMD for (long i = 0; i < pad; i++) sum[i] += r[i] * factor;
    }
}
