/* Matrices that rules keep for themselves, over other populations than W. */

static void lay_out_own(projection_t *p, arena_t *arena) {
    const long units[] = {1, p->n_pre, p->n_post, p->n_out};
    for (int k = 0; k < OWN_MATRICES; k++)
        lay_out_matrix(&p->own[k], arena, units[own_rows[k]], units[own_columns[k]], 0, 0);
}

static void copy_own(const job_t *job, network_t *net, int64_t replica, int back) {
    for (long l = 0; l < job->projections; l++)
        for (int k = 0; k < OWN_MATRICES; k++) {
            matrix_t *m = &net->projections[l].own[k];
            const long at = l * OWN_MATRICES + k;
            real *there = job->own_matrices[at];
            if (there) copy_matrix(m, there + replica * job->own_strides[at], m->columns, 1, back);
        }
}

/* out = M x, and M' x, of vectors one after another. */
static void forward_many(const matrix_t *m, long events, const real *x, real *out);
static void back_many(const matrix_t *m, long events, const real *x, real *out);

INLINE void times(const matrix_t *m, long events, const real *x, real *out) {
    forward_many(m, events, x, out);
}

INLINE void times_back(const matrix_t *m, long events, const real *x, real *out) {
    back_many(m, events, x, out);
}
