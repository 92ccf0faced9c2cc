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

/* A matrix and the increments that wait. */
typedef struct {
    long rows, columns;
    long room;   /* for so many waiting factors */
    long period; /* updates whose increments wait for one pass */
    long updates; /* since the last of these passes */
    long waiting; /* factors that do */
    double lost; /* the fraction that has decayed since the last pass */
    int patient; /* whether decays wait */
    long *begins; /* of the tiles, and where the last one ends, in vectors */
    vec *tiles;  /* [tile][rows + room][width] */
    real *left;  /* [room][padded(rows)], L' */
} matrix_t;

/* Tiles of nearly equal widths, at most WIDEST vectors. */
INLINE long tile_count(const matrix_t *m) {
    return (vectors(m->columns) + WIDEST - 1) / WIDEST;
}
INLINE vec *tile_at(const matrix_t *m, long begin) {
    return m->tiles + begin * (m->rows + m->room);
}

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

/* parts[i] += tile[i] x for each row, lanes not yet added up; the first tile begins the sums. */
INLINE void forward_tile(const int width, const vec *tile, long begin, long rows, const real *x,
                         vec *parts) {
    vec ahead[WIDEST];
    for (int v = 0; v < width; v++) ahead[v] = ((const vec *)x)[begin + v];
    for (long i = 0; i < rows; i++, tile += width) {
        vec sum = begin ? parts[i] : (vec){0};
        for (int v = 0; v < width; v++) sum += tile[v] * ahead[v];
        parts[i] = sum;
    }
}

/* sum[c] += sum_i left[c][i] tile[i], two rows at a time to have more sums under way. */
INLINE void add_rows(const int width, const int count, const vec *tile, long rows,
                     const real *const *left, vec sum[2][WIDEST]) {
    vec odd[2][WIDEST] = {0};
    long i = 0;
    for (; i + 1 < rows; i += 2, tile += 2 * width)
        for (int v = 0; v < width; v++) {
            vec a = tile[v], b = tile[width + v];
            IN_REGISTER(a);
            IN_REGISTER(b);
            for (int c = 0; c < count; c++) {
                sum[c][v] += a * left[c][i];
                odd[c][v] += b * left[c][i + 1];
            }
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

/* The rows i to i + ROWS - 1 of a tile: add what waits, and multiply by the inputs ahead. */
#define ROWS 4
#define ROWS_AHEAD 32
INLINE void update_rows(const int width, const int rows, vec *tile, long begin, const matrix_t *m,
                        long i, long events, const real *x, vec *parts, long parts_pad) {
    vec a[ROWS][WIDEST], *w = tile + i * width;
    const vec *right = tile + m->rows * width;
    const real *left = m->left + i;
    const long left_pad = padded(m->rows), x_pad = padded(m->columns);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < width; v++) a[r][v] = w[r * width + v];
    for (long k = 0; k < m->waiting; k++, right += width, left += left_pad)
        for (int v = 0; v < width; v++) {
            vec column = right[v];
            IN_REGISTER(column);
            for (int r = 0; r < rows; r++) a[r][v] += column * left[r];
        }
    const real lost = (real)m->lost;
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < width; v++) {
            a[r][v] -= a[r][v] * lost;
            w[r * width + v] = a[r][v];
        }
    for (long e = 0; e < events; e++) {
        const vec *ahead = (const vec *)(x + e * x_pad) + begin;
        vec *sum = parts + e * parts_pad + i;
        vec part[ROWS];
        for (int r = 0; r < rows; r++) part[r] = begin ? sum[r] : (vec){0};
        for (int v = 0; v < width; v++) {
            vec input = ahead[v];
            IN_REGISTER(input);
            for (int r = 0; r < rows; r++) part[r] += a[r][v] * input;
        }
        for (int r = 0; r < rows; r++) sum[r] = part[r];
    }
}

INLINE void update_tile(const int width, vec *tile, long begin, const matrix_t *m, long from,
                        long to, long events, const real *x, vec *parts, long parts_pad) {
    for (; from + ROWS <= to; from += ROWS)
        update_rows(width, ROWS, tile, begin, m, from, events, x, parts, parts_pad);
    for (; from < to; from++)
        update_rows(width, 1, tile, begin, m, from, events, x, parts, parts_pad);
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

/* parts = W x for events that are `x_pad` apart. */
static void forward(const matrix_t *m, long events, const real *x, vec *parts, long parts_pad) {
    for (long e = 0; e < events; e++) {
        const real *x_e = x + e * padded(m->columns);
        FOR_TILES(m, forward_tile, m->rows + m->waiting, x_e, parts + e * parts_pad)
    }
}

INLINE void forward_waiting_tile(const int width, const vec *tile, long begin, const matrix_t *m,
                                 const real *x, vec *parts) {
    forward_tile(width, tile + m->rows * width, begin, m->waiting, x, parts + m->rows);
}

/* parts of the waiting rows alone, for an event whose product with W_0 is known. */
static void forward_waiting(const matrix_t *m, const real *x, vec *parts) {
    FOR_TILES(m, forward_waiting_tile, m, x, parts)
}

static void send_back_one(const matrix_t *m, const real *const *left, const real *const *dots,
                          real *const *out) {
    FOR_TILES(m, back_tile, m, 1, left, dots, out)
}

static void send_back_two(const matrix_t *m, const real *const *left, const real *const *dots,
                          real *const *out) {
    FOR_TILES(m, back_tile, m, 2, left, dots, out)
}

/* Add what waits, and parts = W x for inputs ahead. */
static void flush(matrix_t *m, long events, const real *x, vec *parts, long parts_pad) {
    /* some rows of all tiles, then the next ones: their parts stay in the first-level cache */
    const long some = events > 1 ? ROWS_AHEAD : m->rows;
    for (long from = 0; from < m->rows; from += some) {
        const long to = least(from + some, m->rows);
        FOR_TILES(m, update_tile, m, from, to, events, x, parts, parts_pad)
    }
    m->waiting = 0;
    m->lost = 0;
}

static void decay(const matrix_t *m, const real *by_row, const real *by_column) {
    FOR_TILES(m, decay_tile, m, by_row, by_column)
}

static void leave_out(const matrix_t *m, const matrix_t *mask) {
    FOR_TILES(m, mask_tile, m, mask)
}

/* Let an increment row column' wait. */
static void postpone(matrix_t *m, const real *row, const real *column) {
    real *left = m->left + m->waiting * padded(m->rows);
    const real factor = (real)(1 / (1 - m->lost));
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
static void add_lanes(const vec *parts, long rows, real *z) {
    for (long i = 0; i < rows; i += 4) {
        quad s[4];
        for (int r = 0; r < 4; r++) s[r] = half_sum((const real *)&parts[i + r]);
        const quad ab = SHUFFLE(s[0], s[1], 0, 4, 1, 5) + SHUFFLE(s[0], s[1], 2, 6, 3, 7);
        const quad cd = SHUFFLE(s[2], s[3], 0, 4, 1, 5) + SHUFFLE(s[2], s[3], 2, 6, 3, 7);
        *(quad *)(z + i) = SHUFFLE(ab, cd, 0, 1, 4, 5) + SHUFFLE(ab, cd, 2, 3, 6, 7);
    }
}

/* The scalar products of the waiting rows' left factors with a vector. */
static void dot_left(const matrix_t *m, const real *vector, real *dots, vec *parts) {
    const long pad = padded(m->rows);
    for (long k = 0; k < m->waiting; k++) {
        const vec *left = (const vec *)(m->left + k * pad);
        vec sum = {0};
        for (long v = 0; v < pad / LANES; v++) sum += left[v] * ((const vec *)vector)[v];
        parts[k] = sum;
    }
    add_lanes(parts, m->waiting, dots);
}
