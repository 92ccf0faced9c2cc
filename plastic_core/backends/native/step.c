/* What a step of learning is made of. */

/* z = M x from its parts: M_0 x, and below it what waits, to be multiplied by L. */
INLINE void finish(const matrix_t *m, const vec *parts, real *z) {
    add_lanes(parts, m->rows + m->waiting, z);
    for (long k = 0; k < m->waiting; k++) {
        const real factor = z[m->rows + k], *left = m->left + k * padded(m->rows);
        SIMD for (long i = 0; i < padded(m->rows); i++) z[i] += left[i] * factor;
    }
    const real lost = (real)m->lost;
    if (lost != 0)
        SIMD for (long i = 0; i < padded(m->rows); i++) z[i] -= z[i] * lost;
}

static void finish_forward(projection_t *p, const vec *parts, long events) {
    for (long e = 0; e < events; e++)
        finish(&p->weight, parts + e * p->parts_pad, p->z + e * p->parts_pad);
}

/* z normalised over the units of its layer; returns the scale that it was multiplied by. */
static real normalise(real *z, long n) {
    real mean = 0, variance = 0;
    SUM(mean) for (long i = 0; i < n; i++) mean += z[i];
    mean /= (real)n;
    SUM(variance) for (long i = 0; i < n; i++) variance += (z[i] - mean) * (z[i] - mean);
    const real scale = 1 / CALL(sqrt)(variance / (real)n + (real)LAYER_NORM_EPSILON);
    SIMD for (long i = 0; i < n; i++) z[i] = (z[i] - mean) * scale;
    return scale;
}

/* The error of a normalised layer, taken back to what was normalised. */
static void normalise_back(projection_t *p, long events) {
    const long n = p->n_post;
    for (long e = 0; e < events; e++) {
        real *error = p->error + e * p->post_pad, mean = 0, along = 0;
        const real *z = p->z + e * p->parts_pad;
        SUM(mean) for (long i = 0; i < n; i++) mean += error[i];
        SUM(along) for (long i = 0; i < n; i++) along += error[i] * z[i];
        mean /= (real)n;
        along /= (real)n;
        SIMD for (long i = 0; i < n; i++)
            error[i] = (error[i] - mean - z[i] * along) * p->scale[e];
    }
}

/* z = M x for one event. */
static inline void send(const matrix_t *m, const real *x, vec *parts, real *z) {
    FOR_TILES(m, forward_tile, m->rows + m->waiting, x, parts)
    finish(m, parts, z);
}

/* z += b, of every event. */
static void add_bias(network_t *net, projection_t *p, long events) {
    projection_t *bias = p + net->depth;
    send(&bias->weight, bias->pre, bias->parts, bias->z);
    for (long e = 0; e < events; e++) {
        real *z = p->z + e * p->parts_pad;
        SIMD for (long i = 0; i < p->post_pad; i++) z[i] += bias->z[i];
    }
}

static void activate(network_t *net, projection_t *p, long events) {
    if (net->matrices > net->depth) add_bias(net, p, events);
    const int top = p == net->projections + net->depth - 1;
    for (long e = 0; e < events; e++) {
        const real *pre = p->pre + e * p->pre_pad;
        real *z = p->z + e * p->parts_pad;
        real *post = p->post + e * p->post_pad, *activity = p->activity + e * p->post_pad;
        if (LAYER_NORM && !top) p->scale[e] = normalise(z, p->n_post);
        if (top) loss_output(net, z, post, p->n_post);
        else
            SIMD for (long i = 0; i < p->post_pad; i++) post[i] = activation(z[i]);
        clear_padding(post, p->n_post);
        if (p->skip)
            SIMD for (long i = 0; i < p->post_pad; i++) activity[i] = post[i] + pre[i];
    }
}

/* out = M' left for one or two vectors, with what waits. */
static inline void send_back(const matrix_t *m, int count, const real **left, real **out,
                             projection_t *scratch) {
    for (int i = 0; i < count; i++) dot_left(m, left[i], scratch->dots[i], scratch->sums);
    const real *dots[] = {scratch->dots[0], scratch->dots[1]};
    if (count == 2) send_back_two(m, left, dots, out);
    else if (count) send_back_one(m, left, dots, out);
}

/* W' [error, post] and B e, as far as they are read. */
static void send_errors_back(projection_t *p, long events) {
    const struct kind *kind = p->kind;
    for (long e = 0; e < events; e++) {
        const real *left[2];
        real *out[2];
        int count = 0;
        if (kind->weight_error) {
            left[count] = p->error + e * p->post_pad;
            out[count++] = p->weight_error + e * p->pre_pad;
        }
        if (kind->recon) {
            left[count] = p->post + e * p->post_pad;
            out[count++] = p->recon + e * p->pre_pad;
        }
        send_back(&p->weight, count, left, out, p);
        if (kind->feedback_error) {
            const real *error = FEEDBACK_ERROR(p) + e * padded(p->feedback.rows);
            real *arriving = p->feedback_error + e * p->pre_pad;
            send_back(&p->feedback, 1, &error, &arriving, p);
        }
    }
}

/* Let the increments of one matrix wait; whether it is time to add them. */
static int collect(matrix_t *m, const increment_t *on, int count, int decays, long events) {
    if (decays == UNIFORM && m->patient) m->lost += on->row_decay[0] * (1 - m->lost);
    else if (decays) decay(m, on->row_decay, on->column_decay);
    for (int c = 0; c < count; c++)
        for (long e = 0; e < events; e++)
            postpone(m, on->row[c] + e * padded(m->rows), on->column[c] + e * padded(m->columns));
    /* by the number of updates alone, so that a pass comes where it would in a longer run */
    m->updates = (m->updates + 1) % m->period;
    return !m->updates && (m->waiting || m->lost != 0);
}

/* Let the increments of W wait; whether it is time to add them. Where they are transformed they
are added at once, decays with them. */
static int collect_on_weight(projection_t *p, long events) {
    const struct kind *kind = p->kind;
    if (!TRANSFORMED)
        return collect(&p->weight, &p->on_weight, kind->weight_count, kind->weight_decay, events);
    collect(&p->weight, &p->on_weight, kind->weight_count, 0, events);
    return kind->weight_count || kind->weight_decay;
}

/* Add what waits to W, and parts = W x for inputs ahead. */
static void flush_weight(const network_t *net, projection_t *p, long events, const real *x) {
    if (TRANSFORMED) {
        transform(net, p);
        p->weight.waiting = 0;
        if (events) forward(&p->weight, events, x, p->parts, p->parts_pad);
    } else flush(&p->weight, events, x, p->parts, p->parts_pad);
}

static void load_inputs(const job_t *job, real *x, const int64_t *points, long count) {
    const long n = job->sizes[0];
    for (long e = 0; e < count; e++)
        memcpy(x + e * padded(n), job->inputs + points[e] * n, n * sizeof(real));
}

static int finite_outputs(const projection_t *top, long events) {
    for (long e = 0; e < events; e++)
        for (long i = 0; i < top->n_post; i++)
            if (!isfinite(top->post[e * top->post_pad + i])) return 0;
    return 1;
}

static const real *target_of(const job_t *job, int64_t point) {
    return job->targets + point * job->classes;
}

static void output_error(const job_t *job, const network_t *net, const int64_t *points,
                         long events) {
    projection_t *top = net->projections + net->depth - 1;
    for (long e = 0; e < events; e++) {
        const long at = e * top->post_pad;
        loss_error(net, top->post + at, target_of(job, points[e]), top->error + at, top->n_post);
    }
}

/* Let numbers below the normal range be zero while a network trains: an operation on one of them
takes as long as a hundred others. Returns what to restore. */
static unsigned flush_tiny_numbers(void) {
#if defined(__SSE__)
    const unsigned before = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(before | 0x8040);
    return before;
#else
    return 0;
#endif
}

static void restore_tiny_numbers(unsigned before) {
#if defined(__SSE__)
    __builtin_ia32_ldmxcsr(before);
#else
    (void)before;
#endif
}
