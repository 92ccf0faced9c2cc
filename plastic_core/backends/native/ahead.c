/* The matrix whose inputs are known ahead: many updates go through it in one pass.

The inputs X of a block of updates are multiplied by W_0 at once, and the increments of the block
wait. A column of an increment that is W' v, for some v over the rows, is not computed: it waits as
v itself, and v' W_0 is made for all of the block when it is added. With L and C the factors that
are known, and U and V those of what is sent back,

    W    = (1 - lost) (W_0 + L C' + U (V' W_0))
    W x  = (1 - lost) (W_0 x + L (C' x) + U (V' (W_0 x)))
    d (v' W) is added by L += d (v' L), U += d (v' U), and d and v as columns of U and V.

So all that is as large as W are products of matrices, made tile by tile while a tile is in the
first-level cache. */

/* So many inputs lie side by side, and are multiplied at once. */
#define ABREAST 16
#define ABREAST_VECTORS (ABREAST / LANES)
/* as many rows as there are registers for sums */
#define ROWS_ABREAST (12 / ABREAST_VECTORS)
/* fewer are multiplied one by one, when they are due */
#define FEW 5

typedef struct {
    long count;    /* of the inputs that are taken up */
    vec *inputs;   /* X', [groups of ABREAST][padded(columns)][ABREAST] */
    vec *products; /* W_0 X, [groups of ABREAST][rows][ABREAST] */
    real *own;     /* [padded(rows)], W_0 x */
    real *sources; /* [room_back][padded(rows)], V' */
    real lost_at_once; /* the fraction of W_0 that is lost before anything is added */
} ahead_t;

/* Groups of inputs that are abreast. */
INLINE long groups(long events) { return events < FEW ? 0 : (events + ABREAST - 1) / ABREAST; }

static void lay_out_ahead(ahead_t *ahead, const matrix_t *m, long events, arena_t *arena) {
    const long columns = padded(m->columns), one = sizeof(real);
    ahead->inputs = take(arena, groups(events) * columns * ABREAST * one);
    ahead->products = take(arena, groups(events) * m->rows * ABREAST * one);
    ahead->own = take(arena, padded(m->rows) * one);
    ahead->sources = take(arena, m->room_back * padded(m->rows) * one);
}

/* Take up so many inputs, which are `x_pad` apart. */
static void take_up(ahead_t *ahead, const matrix_t *m, long events, const real *x, long x_pad) {
    ahead->count = events;
    real *to = (real *)ahead->inputs;
    for (long g = 0; g < groups(events); g++, x += ABREAST * x_pad) {
        const long some = least(ABREAST, events - g * ABREAST);
        for (long j = 0; j < padded(m->columns); j++, to += ABREAST)
            for (long e = 0; e < some; e++) to[e] = x[e * x_pad + j];
    }
}

/* W_0 x of the `event`th input. */
static const real *taken_up(const ahead_t *ahead, const matrix_t *m, long event, const real *x) {
    if (ahead->count < FEW) {
        forward(m, 0, m->rows, x, ahead->own);
        return ahead->own;
    }
    const real *from = (const real *)ahead->products + event / ABREAST * m->rows * ABREAST;
    from += event % ABREAST;
    for (long i = 0; i < m->rows; i++) ahead->own[i] = from[i * ABREAST];
    return ahead->own;
}

/* Products of some rows with inputs abreast are added to what other tiles gave. */
INLINE void multiply_rows(const int width, const int rows, const vec *tile, const vec *inputs,
                          vec *products, int first) {
    vec sum[ROWS_ABREAST][ABREAST_VECTORS];
    const real *w = (const real *)tile;
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < ABREAST_VECTORS; v++)
            sum[r][v] = first ? (vec){0} : products[r * ABREAST_VECTORS + v];
    for (long j = 0; j < width * LANES; j++, inputs += ABREAST_VECTORS) {
        vec x[ABREAST_VECTORS];
        for (int v = 0; v < ABREAST_VECTORS; v++) {
            x[v] = inputs[v];
            IN_REGISTER(x[v]);
        }
        for (int r = 0; r < rows; r++) {
            const real factor = w[r * width * LANES + j];
            for (int v = 0; v < ABREAST_VECTORS; v++) sum[r][v] += x[v] * factor;
        }
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < ABREAST_VECTORS; v++) products[r * ABREAST_VECTORS + v] = sum[r][v];
}

/* Add what waits, if it is due, and multiply by the inputs that were taken up. */
INLINE void ahead_tile(const int width, vec *tile, long begin, const matrix_t *m,
                       const ahead_t *ahead, int due) {
    if (due) {
        vec *made = tile + (m->rows + m->room) * width;
        send_many_back(width, tile, m, m->waiting_back, ahead->sources, made, width);
        for (long i = 0; ahead->lost_at_once != 0 && i < m->rows * width; i++)
            tile[i] -= tile[i] * ahead->lost_at_once;
        update_tile(width, tile, begin, m);
    }
    for (long g = 0; g < groups(ahead->count); g++) {
        const long columns = g * padded(m->columns) + begin * LANES;
        const vec *inputs = ahead->inputs + columns * ABREAST_VECTORS;
        vec *products = ahead->products + g * m->rows * ABREAST_VECTORS;
        long i = 0;
        for (; i + ROWS_ABREAST <= m->rows; i += ROWS_ABREAST)
            multiply_rows(width, ROWS_ABREAST, tile + i * width, inputs,
                          products + i * ABREAST_VECTORS, !begin);
        for (; i < m->rows; i++)
            multiply_rows(width, 1, tile + i * width, inputs, products + i * ABREAST_VECTORS,
                          !begin);
    }
}

static void flush_ahead(matrix_t *m, ahead_t *ahead, int due) {
    FOR_TILES(m, ahead_tile, m, ahead, due)
    if (!due) return;
    nothing_waits(m);
    ahead->lost_at_once = 0;
}

/* rows[k] += d times a factor and its dot. */
static void add_to_rows(real *rows, long count, long pad, const real *d, real factor,
                        const real *dots) {
    for (long k = 0; k < count; k++, rows += pad) {
        const real dot = dots[k] * factor;
        SIMD for (long i = 0; i < pad; i++) rows[i] += d[i] * dot;
    }
}

/* Let an increment row (source' W) wait. */
static void postpone_back(matrix_t *m, ahead_t *ahead, const real *row, const real *source,
                          real factor) {
    const long pad = padded(m->rows);
    real *left = m->left + (m->room + m->waiting_back) * pad;
    SIMD for (long i = 0; i < m->rows; i++) left[i] = row[i] * factor;
    memcpy(ahead->sources + m->waiting_back * pad, source, pad * sizeof(real));
    m->waiting_back++;
}
