/* Networks that learn, with the tangents of their matrices.

Every projection p has for each direction a tangent q, a projection of its own: its matrix is
dW, its vectors are the tangents of those of p.

    dz = dW y + W dy            back: dW' e + W' de
    dW += da b' + a db'         decay: dW -= f dW + df W
*/

typedef struct {
    network_t net;
    long directions;
    projection_t *tangents;    /* [directions][depth] */
    vec *parts;
    real *z, *back[2];         /* what goes through W itself, before it is added */
} carrier_t;

static void lay_out_tangents(const job_t *job, carrier_t *c, arena_t *arena) {
    lay_out(job, &c->net, kinds, arena);
    const long depth = job->depth, one = sizeof(real);
    c->directions = job->directions;
    c->tangents = take(arena, c->directions * depth * (long)sizeof(projection_t));
    long widest = 0, longest = 0;
    projection_t counted = {0};
    for (long d = 0; d < c->directions; d++)
        for (long l = 0; l < depth; l++) {
            projection_t *q = arena->memory ? &c->tangents[d * depth + l] : &counted;
            lay_out_projection(job, q, l, &tangent_kinds[job->kinds[l]], job->batch, 1, arena);
            if (q->pre_pad > widest) widest = q->pre_pad;
            if (q->parts_pad > longest) longest = q->parts_pad;
        }
    /* the waiting factors of W have parts too */
    for (long l = 0; l < depth; l++) {
        const long rows = padded(job->sizes[l + 1] + kinds[job->kinds[l]].weight_count * job->batch * PERIOD);
        if (rows > longest) longest = rows;
    }
    c->parts = take(arena, longest * (long)sizeof(vec));
    c->z = take(arena, longest * one);
    for (int i = 0; i < 2; i++) c->back[i] = take(arena, widest * one);
    /* the input has no tangent; its error has, which nobody reads */
    real *still = take(arena, job->batch * padded(job->sizes[0]) * one);
    real *unread = take(arena, job->batch * padded(job->sizes[0]) * one);
    if (!arena->memory) return;
    for (long d = 0; d < c->directions; d++)
        for (long l = 0; l < depth; l++) {
            projection_t *first = &c->tangents[d * depth], *q = &first[l];
            q->pre = l ? q[-1].activity : still;
            q->branch = l ? q[-1].post : still;
            q->pre_error = l ? q[-1].error : unread;
            q->above = l < depth - 1 ? q[1].arrived : 0;
            q->output_error = first[depth - 1].error;
            bind_tangents[job->kinds[l]](&c->net.projections[l], q);
        }
}

/* The tangents of the activity of one projection, one event. */
static void activate_tangent(carrier_t *c, projection_t *p, projection_t *q, long l, long e) {
    const real *post = p->post + e * p->post_pad, *dpre = q->pre + e * q->pre_pad;
    real *dz = q->z, *dpost = q->post + e * q->post_pad;
    send(&q->weight, p->pre + e * p->pre_pad, q->parts, dz);
    if (l) {
        send(&p->weight, dpre, c->parts, c->z);
        SIMD for (long i = 0; i < p->post_pad; i++) dz[i] += c->z[i];
    }
    if (l == c->net.depth - 1)
        loss_output_tangent(&c->net, p->z + e * p->parts_pad, post, dz, dpost, p->n_post);
    else
        SIMD for (long i = 0; i < p->post_pad; i++) dpost[i] = dz[i] * activation_slope(post[i]);
    clear_padding(dpost, p->n_post);
    if (p->skip) {
        real *dactivity = q->activity + e * q->post_pad;
        SIMD for (long i = 0; i < p->post_pad; i++) dactivity[i] = dpost[i] + dpre[i];
    }
}

INLINE void add_to(real *x, const real *y, long pad) {
    SIMD for (long i = 0; i < pad; i++) x[i] += y[i];
}

/* The tangents of W' [error, post] and B e, as far as they are read. */
static void send_tangents_back(carrier_t *c, projection_t *p, projection_t *q, long e) {
    const struct kind *kind = p->kind;
    const real *still[2], *moving[2];
    real *out[2];
    int count = 0;
    if (kind->weight_error) {
        still[count] = p->error + e * p->post_pad;
        moving[count] = q->error + e * p->post_pad;
        out[count++] = q->weight_error + e * p->pre_pad;
    }
    if (kind->recon) {
        still[count] = p->post + e * p->post_pad;
        moving[count] = q->post + e * p->post_pad;
        out[count++] = q->recon + e * p->pre_pad;
    }
    send_back(&p->weight, count, moving, out, p);
    send_back(&q->weight, count, still, c->back, q);
    for (int i = 0; i < count; i++) add_to(out[i], c->back[i], p->pre_pad);
    if (!kind->feedback_error) return;
    const long at = e * padded(p->feedback.rows);
    const real *error = FEEDBACK_ERROR(p) + at, *derror = FEEDBACK_ERROR(q) + at;
    real *arriving = q->feedback_error + e * p->pre_pad;
    send_back(&p->feedback, 1, &derror, &arriving, p);
    if (!kind->feedback_count && !kind->feedback_decay) return; /* B stays, and has no tangent */
    send_back(&q->feedback, 1, &error, c->back, q);
    add_to(arriving, c->back[0], p->pre_pad);
}

/* d -= d f + w df, by rows and by columns. */
INLINE void decay_tangent_tile(const int width, vec *tile, long begin, const matrix_t *d,
                               const matrix_t *w, const increment_t *f, const increment_t *df) {
    const vec *value = tile_at(w, begin);
    for (long i = 0; i < d->rows; i++)
        for (int v = 0; v < width; v++) {
            vec *to = &tile[i * width + v];
            const vec from = value[i * width + v];
            vec lost = {0};
            if (f->row_decay) lost += *to * f->row_decay[i] + from * df->row_decay[i];
            if (f->column_decay)
                lost += *to * ((const vec *)f->column_decay)[begin + v] +
                        from * ((const vec *)df->column_decay)[begin + v];
            *to -= lost;
        }
}

INLINE void add_matrix_tile(const int width, vec *tile, long begin, const matrix_t *d,
                            const matrix_t *w, real factor) {
    const vec *value = tile_at(w, begin);
    for (long i = 0; i < d->rows * width; i++) tile[i] += value[i] * factor;
}

static void decay_tangent(matrix_t *d, const matrix_t *w, const increment_t *f,
                          const increment_t *df) {
    FOR_TILES(d, decay_tangent_tile, d, w, f, df)
}

/* Add the increments of a matrix and of its tangents; nothing is left waiting in the matrix where
it decays, for its tangents need it as it is. */
static void add_to_matrix(matrix_t *m, const increment_t *on, int count, int decays, long events) {
    if (decays == UNIFORM) {
        m->lost = on->row_decay[0]; /* in the same pass */
        collect(m, on, count, 0, events);
        flush(m, 0, 0, 0, 0);
    } else if (collect(m, on, count, decays, events)) flush(m, 0, 0, 0, 0);
}

static void add_to_tangent(matrix_t *d, const increment_t *don, int dcount, const matrix_t *m,
                           const increment_t *on, int decays, long events) {
    if (decays == UNIFORM) {
        /* the pass that follows takes the lost fraction of this too */
        const real change = -don->row_decay[0] / (1 - on->row_decay[0]);
        if (change != 0) { FOR_TILES(d, add_matrix_tile, d, m, change) }
        d->lost = on->row_decay[0];
        collect(d, don, dcount, 0, events);
        flush(d, 0, 0, 0, 0);
        return;
    }
    if (decays) decay_tangent(d, m, on, don);
    if (collect(d, don, dcount, 0, events)) flush(d, 0, 0, 0, 0);
}

static void learn_tangents(carrier_t *c, long l, const int64_t *kind_of, long events) {
    projection_t *p = &c->net.projections[l];
    const struct kind *kind = p->kind, *tangent = &tangent_kinds[kind_of[l]];
    const int learns_feedback = kind->feedback_count || kind->feedback_decay;
    send_errors_back(p, events);
    kind->compute(&c->net, p, events);
    for (long d = 0; d < c->directions; d++) {
        projection_t *q = &c->tangents[d * c->net.depth + l];
        for (long e = 0; e < events; e++) send_tangents_back(c, p, q, e);
        compute_tangents[kind_of[l]](&c->net, p, q, d, events);
        add_to_tangent(&q->weight, &q->on_weight, tangent->weight_count, &p->weight,
                       &p->on_weight, kind->weight_decay, events);
        if (learns_feedback)
            add_to_tangent(&q->feedback, &q->on_feedback, tangent->feedback_count, &p->feedback,
                           &p->on_feedback, kind->feedback_decay, events);
    }
    add_to_matrix(&p->weight, &p->on_weight, kind->weight_count, kind->weight_decay, events);
    if (learns_feedback)
        add_to_matrix(&p->feedback, &p->on_feedback, kind->feedback_count, kind->feedback_decay,
                      events);
}

/* Returns the index of the point at which an output was not finite, or -1. */
static int64_t train_tangents(job_t *job, carrier_t *c, const int64_t *order) {
    network_t *net = &c->net;
    projection_t *first = net->projections, *top = first + net->depth - 1;
    first->pre = first->source = first->branch = net->inputs[0];
    for (long start = 0, events; start < job->samples; start += events) {
        if (__atomic_load_n(&job->stop, __ATOMIC_RELAXED)) break;
        events = least(job->batch, job->samples - start);
        load_inputs(job, net->inputs[0], order + start, events);
        for (projection_t *p = first; p <= top; p++) {
            forward(&p->weight, events, p->pre, p->parts, p->parts_pad);
            finish_forward(p, p->parts, events);
            activate(net, p, events);
            const long l = p - first;
            for (long d = 0; d < c->directions; d++)
                for (long e = 0; e < events; e++)
                    activate_tangent(c, p, &c->tangents[d * net->depth + l], l, e);
        }
        if (!finite_outputs(top, events)) return start;
        output_error(job, net, order + start, events);
        for (long d = 0; d < c->directions; d++) {
            projection_t *q = &c->tangents[(d + 1) * net->depth - 1];
            for (long e = 0; e < events; e++) {
                const long at = e * q->post_pad;
                loss_error_tangent(net, top->post + at, target_of(job, order[start + e]),
                                   q->post + at, q->error + at, q->n_post);
            }
        }
        for (long l = net->depth - 1; l >= 0; l--) learn_tangents(c, l, job->kinds, events);
    }
    for (projection_t *p = first; p <= top; p++) {
        flush(&p->weight, 0, 0, 0, 0);
        if (job->feedback) flush(&p->feedback, 0, 0, 0, 0);
    }
    for (long i = 0; i < c->directions * net->depth; i++) {
        flush(&c->tangents[i].weight, 0, 0, 0, 0);
        if (job->feedback) flush(&c->tangents[i].feedback, 0, 0, 0, 0);
    }
    return -1;
}

static void copy_tangents(const job_t *job, carrier_t *c, int64_t replica, int back) {
    for (long d = 0; d < c->directions; d++)
        for (long l = 0; l < job->depth; l++) {
            projection_t *q = &c->tangents[d * job->depth + l];
            const long at = replica * c->directions + d;
            copy_matrix(&q->weight, job->weight_tangents[l] + at * q->n_post * q->n_pre, q->n_pre,
                        1, back);
            if (!job->feedback) continue;
            const long rows = q->feedback.rows;
            copy_matrix(&q->feedback, job->feedback_tangents[l] + at * q->n_pre * rows, 1, rows,
                        back);
        }
}

static void set_periods(const job_t *job, carrier_t *c, int64_t replica) {
    set_period(job, &c->net, replica);
    for (long i = 0; i < c->directions * job->depth; i++) {
        projection_t *q = &c->tangents[i];
        const struct kind *kind = q->kind;
        set_matrix_period(job, &q->weight, kind->weight_count, kind->weight_decay, PERIOD);
        set_matrix_period(job, &q->feedback, kind->feedback_count, kind->feedback_decay, PERIOD);
    }
}

typedef carrier_t workspace_t;

static network_t *network_of(workspace_t *w) { return &w->net; }

static void lay_out_workspace(const job_t *job, workspace_t *w, arena_t *arena) {
    lay_out_tangents(job, w, arena);
}

static void copy_workspace(const job_t *job, workspace_t *w, int64_t replica, int back) {
    copy_network(job, &w->net, replica, back);
    copy_tangents(job, w, replica, back);
    if (!back) set_periods(job, w, replica);
}

static int64_t train_replica(job_t *job, workspace_t *w, const int64_t *order) {
    return train_tangents(job, w, order);
}
