/* Learning with tangents: derivatives of all that a network is with respect to its thetas.

Every projection p has for each direction a tangent q, a projection of its own: its matrix is
dW. The tangents of all vectors lie as the vectors do.

    dz = dW y + W dy            back: dW' e + W' de
    dW += da b' + a db'         decay: dW -= f dW + df W
*/

static projection_t *tangent_of(const network_t *net, long d, const projection_t *p) {
    return &net->projections[(d + 1) * net->job->projections + (p - net->projections)];
}

static void lay_out_tangents(network_t *net, arena_t *arena) {
    const job_t *job = net->job;
    long widest = 0;
    for (long l = 0; l < job->projections; l++) {
        for (long d = 0; d < job->directions; d++) {
            projection_t *q = tangent_of(net, d, &net->projections[l]);
            lay_out_projection(job, q, l, &tangent_kinds[job->kinds[l]], arena);
        }
        const projection_t *p = &net->projections[l];
        if (p->pre_pad > widest) widest = p->pre_pad;
        if (p->post_pad > widest) widest = p->post_pad;
    }
    for (int i = 0; i < 2; i++) net->aside[i] = take(arena, widest * (long)sizeof(real));
}

static void bind_tangents(network_t *net) {
    const job_t *job = net->job;
    for (long l = 0; l < job->projections; l++)
        for (long d = 0; d < job->directions; d++) {
            projection_t *p = &net->projections[l], *q = tangent_of(net, d, p);
            real **signal = (real **)&p->all, **tangent = (real **)&q->all;
            for (long s = 0; s < SIGNALS; s++)
                tangent[s] = signal[s] ? signal[s] + (d + 1) * net->size : 0;
            tangents[job->kinds[l]].bind(p, q);
        }
}

static void copy_tangents(network_t *net, int64_t replica, int back) {
    const job_t *job = net->job;
    for (long l = 0; l < job->projections; l++)
        for (long d = 0; d < job->directions; d++) {
            projection_t *q = tangent_of(net, d, &net->projections[l]);
            const long at = replica * job->directions + d, size = q->n_post * q->n_pre;
            copy_matrix(&q->weight, job->weight_tangents[l] + at * size, q->n_pre, 1, back);
            if (!back) set_period(job, q, l, PERIOD);
            if (!job->feedback) continue;
            const long rows = q->feedback.rows;
            copy_matrix(&q->feedback, job->feedback_tangents[l] + at * q->n_pre * rows, 1, rows,
                        back);
        }
}

static void flush_tangents(network_t *net) {
    const long from = net->job->projections, count = from * net->job->directions;
    for (projection_t *q = net->projections + from; q < net->projections + from + count; q++) {
        flush(&q->weight);
        if (net->job->feedback) flush(&q->feedback);
    }
}

static void send_tangent(network_t *net, projection_t *p, projection_t *q, const real *pre,
                         const real *dpre, real *dz) {
    for (long e = 0; e < net->events; e++, pre += p->pre_pad, dz += p->post_pad) {
        send_one(net, &q->weight, pre, dz);
        if (!dpre) continue;
        send_one(net, &p->weight, dpre + e * p->pre_pad, net->aside[0]);
        add(dz, net->aside[0], dz, p->post_pad);
    }
}

/* The tangents of W' [error, post] and B e, as far as they are read. */
static void send_tangents_back(network_t *net, projection_t *p, projection_t *q,
                               const signals_t *s, const signals_t *ds, long e) {
    const struct kind *kind = p->kind;
    const long pre = e * p->pre_pad, post = e * p->post_pad;
    const real *still[2], *moving[2];
    real *out[2];
    int count = 0;
    if (kind->weight_error) {
        still[count] = s->error + post;
        moving[count] = ds->error + post;
        out[count++] = ds->weight_error + pre;
    }
    if (kind->recon) {
        still[count] = s->post + post;
        moving[count] = ds->post + post;
        out[count++] = ds->recon + pre;
    }
    send_back(net, &p->weight, count, moving, out);
    send_back(net, &q->weight, count, still, net->aside);
    for (int i = 0; i < count; i++) add(out[i], net->aside[i], out[i], p->pre_pad);
    if (!kind->feedback_error) return;
    const long at = e * padded(p->feedback.rows);
    const real *error = FEEDBACK_ERROR(*s) + at, *derror = FEEDBACK_ERROR(*ds) + at;
    real *arriving = ds->feedback_error + pre;
    send_back(net, &p->feedback, 1, &derror, &arriving);
    if (!kind->feedback_count && !kind->feedback_decay) return; /* B stays, and has no tangent */
    send_back(net, &q->feedback, 1, &error, net->aside);
    add(arriving, net->aside[0], arriving, p->pre_pad);
}

/* The tangent of a normalised vector has the form of an error that goes back. */
static real normalise_tangent(const real *normalised, real scale, const real *dz, real *into,
                              long n) {
    real along = 0;
    normalise_back(dz, normalised, scale, into, n);
    SUM(along) for (long i = 0; i < n; i++) along += dz[i] * normalised[i];
    return -scale * scale * along / (real)n;
}

static void normalise_back_tangent(const real *error, const real *normalised, real scale,
                                   const real *derror, const real *dnormalised, real dscale,
                                   real *into, long n) {
    real mean = 0, along = 0, dmean = 0, dalong = 0;
    for (long i = 0; i < n; i++) {
        mean += error[i];
        along += error[i] * normalised[i];
        dmean += derror[i];
        dalong += derror[i] * normalised[i] + error[i] * dnormalised[i];
    }
    mean /= (real)n, along /= (real)n, dmean /= (real)n, dalong /= (real)n;
    SIMD for (long i = 0; i < n; i++)
        into[i] = (derror[i] - dmean - dnormalised[i] * along - normalised[i] * dalong) * scale +
                  (error[i] - mean - normalised[i] * along) * dscale;
}

static void carry_tangent(network_t *net, const bound_t *o, long d) {
    real *const *v = o->v, *dv[4];
    for (int i = 0; i < 4; i++) dv[i] = v[i] ? v[i] + (d + 1) * net->size : 0;
    const long events = o->count * net->events, n = o->units, pad = padded(n), all = events * pad;
    if (o->code == SEND) {
        projection_t *p = &net->projections[o->which];
        const real *dpre = v[0] == net->input ? 0 : dv[0]; /* which has no tangent */
        send_tangent(net, p, tangent_of(net, d, p), v[0], dpre, dv[1]);
        return;
    }
    if (o->code == SEND_BACK) {
        projection_t *p = &net->projections[o->which], *q = tangent_of(net, d, p);
        const signals_t s = signals_from(p, o->begin * net->events);
        const signals_t ds = signals_from(q, o->begin * net->events);
        const struct tangent *t = &tangents[net->job->kinds[o->which]];
        for (long e = 0; e < events; e++) send_tangents_back(net, p, q, &s, &ds, e);
        if (v[0]) t->propagate(net, p, q, &s, &ds, dv[0], d, events);
        return;
    }
    const struct activation *a = &activations[o->which];
    switch (o->code) {
    case ACTIVATE:
        a->tangent(v[0], v[1], dv[0], dv[1], all);
        for (long e = 0; e < events; e++) clear_padding(dv[1] + e * pad, n);
        break;
    case ACTIVATE_BACK:
        a->back_tangent(v[0], v[1], v[2], dv[0], dv[1], dv[2], dv[3], all);
        for (long e = 0; e < events; e++) clear_padding(dv[3] + e * pad, n);
        break;
    case NORMALISE:
        for (long e = 0; e < events; e++)
            dv[2][e * LANES] = normalise_tangent(v[1] + e * pad, v[2][e * LANES],
                                                 dv[0] + e * pad, dv[1] + e * pad, n);
        break;
    case NORMALISE_BACK:
        for (long e = 0; e < events; e++)
            normalise_back_tangent(v[0] + e * pad, v[1] + e * pad, v[2][e * LANES],
                                   dv[0] + e * pad, dv[1] + e * pad, dv[2][e * LANES],
                                   dv[3] + e * pad, n);
        break;
    case ADD: add(dv[0], dv[1], dv[2], all); break;
    case COPY: memcpy(dv[1], dv[0], all * sizeof(real)); break;
    case REPEAT:
        for (long e = 0; e < events; e++)
            memcpy(dv[1] + e * pad, dv[0] + e / o->count * pad, pad * sizeof(real));
        break;
    case SCALE: scale_by(dv[0], net->constant[o->which], dv[1], all); break;
    case OUTPUT:
        for (long e = 0; e < events; e++) {
            const long at = e * pad;
            loss_output_tangent(net, v[0] + at, v[1] + at, dv[0] + at, dv[1] + at, n);
            clear_padding(dv[1] + at, n);
        }
        break;
    case COMPARE:
        for (long e = 0; e < events; e++)
            loss_error_tangent(net, v[0] + e * pad, target_of(net, e), dv[0] + e * pad,
                               dv[1] + e * pad, n);
        break;
    }
}

static void carry_tangents(network_t *net, const bound_t *o) {
    for (long d = 0; d < net->job->directions; d++) carry_tangent(net, o, d);
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
        flush(m);
    } else if (collect(m, on, count, decays, events)) flush(m);
}

static void add_to_tangent(matrix_t *d, const increment_t *don, int dcount, const matrix_t *m,
                           const increment_t *on, int decays, long events) {
    if (decays == UNIFORM) {
        /* the pass that follows takes the lost fraction of this too */
        const real change = -don->row_decay[0] / (1 - on->row_decay[0]);
        if (change != 0) { FOR_TILES(d, add_matrix_tile, d, m, change) }
        d->lost = on->row_decay[0];
        collect(d, don, dcount, 0, events);
        flush(d);
        return;
    }
    if (decays) decay_tangent(d, m, on, don);
    if (collect(d, don, dcount, 0, events)) flush(d);
}

/* All that one projection and its tangents learn from. */
static void learn(network_t *net, projection_t *p) {
    const int64_t number = net->job->kinds[p - net->projections];
    const struct kind *kind = p->kind, *tangent = &tangent_kinds[number];
    const long events = p->count * net->events;
    const int learns_feedback = kind->feedback_count || kind->feedback_decay;
    kind->compute(net, p, events);
    for (long d = 0; d < net->job->directions; d++) {
        projection_t *q = tangent_of(net, d, p);
        tangents[number].compute(net, p, q, d, events);
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
