/* Increments of W that are transformed before they are added.

The whole increment of a matrix is never stored: it is made for one row of one tile, transformed
there together with the states of the same place, and added. */

/* What becomes of a row of an increment; `there` is 0 where a mask leaves a connection out. */
typedef void (*transform_row_t)(const network_t *net, const projection_t *p, long i, long column,
                                long lanes, const real *increment, const real *there,
                                real *weight, real *const *state);

/* Each row of a tile: make the increment from what waits and what decays, transform and add it. */
INLINE void transform_tile(const int width, vec *tile, long begin, const network_t *net,
                           projection_t *p, const transform_row_t transform_row) {
    const matrix_t *m = &p->weight;
    const increment_t *on = &p->on_weight;
    const long lanes = width * LANES, column = begin * LANES, left_pad = padded(m->rows);
    const long used = least(lanes, m->columns - column);
    real *weight = (real *)tile, *state[MATRIX_STATES + 1];
    for (int s = 0; s < MATRIX_STATES; s++) state[s] = (real *)tile_at(&p->matrix_state[s], begin);
    const real *right = weight + m->rows * lanes;
    real all[WIDEST * LANES];
    for (long j = 0; j < lanes; j++) all[j] = 1;
    const real *there = p->masked ? (const real *)tile_at(&p->mask, begin) : all;
    for (long i = 0; i < m->rows; i++, weight += lanes) {
        real increment[WIDEST * LANES] = {0};
        for (long k = 0; k < m->waiting; k++) {
            const real left = m->left[k * left_pad + i];
            SIMD for (long j = 0; j < lanes; j++) increment[j] += left * right[k * lanes + j];
        }
        if (on->row_decay)
            SIMD for (long j = 0; j < lanes; j++) increment[j] -= weight[j] * on->row_decay[i];
        if (on->column_decay)
            SIMD for (long j = 0; j < lanes; j++)
                increment[j] -= weight[j] * on->column_decay[column + j];
        if (p->masked) SIMD for (long j = 0; j < lanes; j++) increment[j] *= there[j];
        transform_row(net, p, i, column, lanes, increment, there, weight, state);
        if (p->masked) there += lanes;
        for (long j = used; j < lanes; j++) weight[j] = 0;
        for (int s = 0; s < MATRIX_STATES; s++) state[s] += lanes;
    }
}
