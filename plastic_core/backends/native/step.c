/* The operations of a step, each for all events of its node. */

/* z = M x for one event. */
INLINE void send_one(const network_t *net, const matrix_t *m, const real *x, real *z) {
    const real lost = (real)m->lost;
    const long pad = padded(m->rows);
    real *total = m->waiting || lost != 0 ? net->sum : z;
    forward(m, 0, m->rows + m->waiting, x, total);
    if (total != z) {
        memcpy(z, total, pad * sizeof(real));
        add_rows_times(m->left, m->waiting, pad, total + m->rows, z);
        SIMD for (long i = 0; i < pad; i++) z[i] -= z[i] * lost;
    }
    clear_padding(z, m->rows);
}

/* The same for an event whose product with W_0 is known. */
static void send_known(const network_t *net, const matrix_t *m, long event, const real *x, real *z) {
    const long pad = padded(m->rows);
    const real *own = taken_up(&net->block, m, event, x), lost = (real)m->lost;
    real *dots = net->dots[0], *dots_back = net->dots_back[0];
    forward(m, m->rows, m->waiting, x, dots);
    dot_rows(net->block.sources, m->waiting_back, pad, own, dots_back, net->sums);
    memcpy(z, own, pad * sizeof(real));
    add_rows_times(m->left, m->waiting, pad, dots, z);
    add_rows_times(m->left + m->room * pad, m->waiting_back, pad, dots_back, z);
    if (lost != 0) SIMD for (long i = 0; i < pad; i++) z[i] -= z[i] * lost;
    clear_padding(z, m->rows);
}

/* z = W x for some events. */
static void send(const network_t *net, const projection_t *p, long events, const real *x, real *z) {
    if (p != net->ahead) multiply_forward(net, p, events, x, z);
    else
        for (long e = 0; e < events; e++)
            send_known(net, &p->weight, net->used + e, x + e * p->pre_pad, z + e * p->post_pad);
}

/* out = M' left of one or two vectors, with what waits. */
static void send_back(const network_t *net, const matrix_t *m, int count, const real **left,
                      real **out) {
    for (int i = 0; i < count; i++)
        dot_rows(m->left, m->waiting, padded(m->rows), left[i], net->dots[i], net->sums);
    const real *dots[] = {net->dots[0], net->dots[1]};
    if (count == 2) send_back_two(m, left, dots, out);
    else if (count) send_back_one(m, left, dots, out);
}

/* Products with one matrix, of which two at a time are carried out. */
typedef struct {
    const matrix_t *matrix;
    int count;
    const real *left[2];
    real *out[2];
} pair_t;

INLINE void join(const network_t *net, pair_t *pair, const real *left, real *out) {
    pair->left[pair->count] = left;
    pair->out[pair->count++] = out;
    if (pair->count < 2) return;
    send_back(net, pair->matrix, 2, pair->left, pair->out);
    pair->count = 0;
}

/* The signals of some events of an update. */
static signals_t signals_from(const projection_t *p, long event) {
    signals_t s = p->all;
    real **over_pre[] = {&s.pre, &s.source, &s.recon, &s.pre_error, &s.weight_error,
                         &s.feedback_error};
    real **over_post[] = {&s.post, &s.z, &s.error};
    real **over_out[] = {&s.output_error, &s.output, &s.target};
    for (int i = 0; i < 6; i++)
        if (*over_pre[i]) *over_pre[i] += event * p->pre_pad;
    for (int i = 0; i < 3; i++) {
        if (*over_post[i]) *over_post[i] += event * p->post_pad;
        if (*over_out[i]) *over_out[i] += event * p->out_pad;
    }
    return s;
}

/* W' [error, post] and B e, as far as they are read, and the error of what was sent. */
static void send_events_back(network_t *net, projection_t *p, long first, long events,
                             real *into) {
    const struct kind *kind = p->kind;
    const signals_t s = signals_from(p, first);
    pair_t pair = {.matrix = &p->weight}, fed = {.matrix = &p->feedback};
    const int many = p->at_once && events >= ROWS;
    if (many) {
        if (kind->weight_error) back_many(&p->weight, events, s.error, s.weight_error);
        if (kind->recon) back_many(&p->weight, events, s.post, s.recon);
        if (kind->feedback_error)
            back_many(&p->feedback, events, FEEDBACK_ERROR(s), s.feedback_error);
    }
    for (long e = 0; e < events && !many; e++) {
        const long pre = e * p->pre_pad, post = e * p->post_pad;
        if (kind->weight_error) join(net, &pair, s.error + post, s.weight_error + pre);
        if (kind->recon) join(net, &pair, s.post + post, s.recon + pre);
        if (kind->feedback_error)
            join(net, &fed, FEEDBACK_ERROR(s) + e * padded(p->feedback.rows),
                 s.feedback_error + pre);
    }
    send_back(net, &p->weight, pair.count, pair.left, pair.out);
    send_back(net, &p->feedback, fed.count, fed.left, fed.out);
    if (into) kind->propagate(net, p, &s, into, first, events);
}

static void multiply_forward(const network_t *net, const projection_t *p, long events,
                             const real *x, real *out) {
    if (p->at_once && events >= EVENTS) forward_many(&p->weight, events, x, out);
    else
        for (long e = 0; e < events; e++)
            send_one(net, &p->weight, x + e * p->pre_pad, out + e * p->post_pad);
}

/* out = M' x. */
static void multiply_left(const network_t *net, const projection_t *p, const matrix_t *m,
                          long events, const real *x, real *out) {
    if (p->at_once && events >= ROWS) {
        back_many(m, events, x, out);
        return;
    }
    for (long e = 0; e < events; e++) {
        const real *left = x + e * padded(m->rows);
        real *one = out + e * p->pre_pad;
        send_back(net, m, 1, &left, &one);
    }
}

static void multiply_back(const network_t *net, const projection_t *p, long events, const real *x,
                          real *out) {
    multiply_left(net, p, &p->weight, events, x, out);
}

static void multiply_feed_back(const network_t *net, const projection_t *p, long events,
                               const real *x, real *out) {
    multiply_left(net, p, &p->feedback, events, x, out);
}

/* Let the increments of one matrix wait; whether it is time to add them. */
static int collect(matrix_t *m, const increment_t *on, int count, int decays, long events) {
    if (decays == UNIFORM && m->patient) m->lost += on->row_decay[0] * (1 - m->lost);
    else if (decays) decay(m, on->row_decay, on->column_decay);
    if (!m->room) {
        for (int c = 0; c < count; c++) learn_many(m, events, on->row[c], on->column[c]);
        count = 0;
    }
    for (int c = 0; c < count; c++)
        for (long e = 0; e < events; e++)
            postpone(m, on->row[c] + e * padded(m->rows), on->column[c] + e * padded(m->columns),
                     (real)(1 / (1 - m->lost)));
    /* by the number of updates alone, so that a pass comes where it would in a longer run */
    m->updates = (m->updates + 1) % m->period;
    return !m->updates && (m->waiting || m->waiting_back || m->lost != 0);
}

/* What is sent back changes the left factors that wait, all of them as they were before. Returns
the kind of decay that is left to be done. */
static int collect_back(network_t *net, projection_t *p, long events) {
    matrix_t *m = &p->weight;
    const increment_t *on = &p->on_weight_back;
    const long pad = p->post_pad, known = m->waiting, back = m->waiting_back;
    const int count = p->kind->back_count, decays = p->kind->weight_decay;
    const int at_once = decays == UNIFORM && !m->patient;
    const real lost = decays == UNIFORM ? p->on_weight.row_decay[0] : 0;
    const real factor = at_once ? 1 : 1 / (1 - lost);
    net->block.lost_at_once = at_once ? lost : 0;
    if (known || back) {
        for (int c = 0; c < count; c++) {
            dot_rows(m->left, known, pad, on->column[c], net->dots[c], net->sums);
            dot_rows(m->left + m->room * pad, back, pad, on->column[c], net->dots_back[c],
                     net->sums);
        }
        for (int c = 0; c < count; c++) {
            add_to_rows(m->left, known, pad, on->row[c], factor, net->dots[c]);
            add_to_rows(m->left + m->room * pad, back, pad, on->row[c], factor,
                        net->dots_back[c]);
        }
    }
    for (int c = 0; c < count; c++)
        for (long e = 0; e < events; e++)
            postpone_back(m, &net->block, on->row[c] + e * pad, on->column[c] + e * pad, factor);
    return at_once ? 0 : decays;
}

/* Let the increments of W wait; whether it is time to add them. Where they are transformed they
are added at once, decays with them. */
static int collect_on_weight(network_t *net, projection_t *p, long events) {
    const struct kind *kind = p->kind;
    if (!TRANSFORMED) {
        const int decays = kind->back_count ? collect_back(net, p, events) : kind->weight_decay;
        return collect(&p->weight, &p->on_weight, kind->weight_count, decays, events);
    }
    collect(&p->weight, &p->on_weight, kind->weight_count, 0, events);
    return kind->weight_count || kind->weight_decay || kind->transformed;
}

/* Add what waits to W. */
static void flush_weight(const network_t *net, projection_t *p) {
    if (TRANSFORMED) {
        p->kind->transform(net, p);
        p->weight.waiting = 0;
    } else flush(&p->weight);
}

/* The answers of all samples lie after one another, step by step. */
static const real *target_of(const network_t *net, long event) {
    const job_t *job = net->job;
    const long step = event / net->events, point = net->points[event % net->events];
    return job->targets + (point * job->answers + step) * job->outputs;
}

/* All but learning. */
static void carry_out(network_t *net, const bound_t *o) {
    real *const *v = o->v;
    const long events = o->count * net->events, n = o->units, pad = padded(n), all = events * pad;
    switch (o->code) {
    case SEND: {
        projection_t *p = &net->projections[o->which];
        if (p->kind->forward) {
            const signals_t s = {.pre = v[0]};
            p->kind->forward(net, p, &s, v[1], o->begin * net->events, events);
        } else send(net, p, events, v[0], v[1]);
        break;
    }
    case SEND_BACK:
        send_events_back(net, &net->projections[o->which], o->begin * net->events, events, v[0]);
        break;
    case ACTIVATE:
        activations[o->which].apply(v[0], v[1], all);
        for (long e = 0; e < events; e++) clear_padding(v[1] + e * pad, n);
        break;
    case ACTIVATE_BACK:
        activations[o->which].back(v[0], v[1], v[2], v[3], all);
        for (long e = 0; e < events; e++) clear_padding(v[3] + e * pad, n);
        break;
    case NORMALISE:
        for (long e = 0; e < events; e++)
            v[2][e * LANES] = normalise(v[0] + e * pad, v[1] + e * pad, n);
        break;
    case NORMALISE_BACK:
        for (long e = 0; e < events; e++)
            normalise_back(v[0] + e * pad, v[1] + e * pad, v[2][e * LANES], v[3] + e * pad, n);
        break;
    case GATHER: gather(&net->layouts[o->which], net->events, v[0], v[1]); break;
    case SCATTER: scatter(&net->layouts[o->which], net->events, v[0], v[1]); break;
    case POOL: pool(&net->layouts[o->which], net->events, v[0], v[1]); break;
    case POOL_BACK:
        pool_back(&net->layouts[o->which], net->events, v[0], v[1], v[2], v[3]);
        break;
    case AVERAGE: average(&net->layouts[o->which], net->events, v[0], v[1]); break;
    case AVERAGE_BACK: average_back(&net->layouts[o->which], net->events, v[0], v[1]); break;
    case ADD: add(v[0], v[1], v[2], all); break;
    case COPY: memcpy(v[1], v[0], all * sizeof(real)); break;
    case REPEAT:
        for (long e = 0; e < events; e++)
            memcpy(v[1] + e * pad, v[0] + e / o->count * pad, pad * sizeof(real));
        break;
    case SCALE: scale_by(v[0], net->constant[o->which], v[1], all); break;
    case ONE:
        for (long e = 0; e < events; e++) v[0][e * pad] = 1;
        break;
    case OUTPUT:
        for (long e = 0; e < events; e++) {
            loss_output(net, v[0] + e * pad, v[1] + e * pad, n);
            clear_padding(v[1] + e * pad, n);
        }
        break;
    case COMPARE:
        for (long e = 0; e < events; e++)
            loss_error(net, v[0] + e * pad, target_of(net, e), v[1] + e * pad, n);
        break;
    case TARGET:
        for (long e = 0; e < events; e++) memcpy(v[0] + e * pad, target_of(net, e), n * sizeof(real));
        break;
    }
}
