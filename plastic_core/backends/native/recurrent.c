/* A recurrent network through all samples between two evaluations.

Its projections are W_x, W_h and W_o. An update of W_h has an event for each step but the last:
pre y_t, source z_t, post u_t = W_h y_t, error e_{t+1}; one of W_x for each step that shows the
input. So vectors lie step after step, and those of an update are the same memory, read from
another step on. */

enum { INPUT, HIDDEN, OUTPUT };

typedef struct {
    network_t net;
    long steps, present, pad;  /* of one vector of the hidden units */
    real *z, *y, *sent, *error; /* [steps][pad]; sent holds W_h y of the step before */
    projection_t *each;        /* W_h at each step, its vectors alone */
    vec *parts;
    real *sum, *drive;
} unrolled_t;

static void lay_out_unrolled(const job_t *job, unrolled_t *u, arena_t *arena) {
    const long one = sizeof(real), events[] = {job->present, job->steps - 1, 1};
    u->steps = job->steps;
    u->present = job->present;
    u->pad = padded(job->sizes[1]);
    u->net.depth = u->net.matrices = 3;
    u->net.projections = take(arena, 3 * (long)sizeof(projection_t));
    u->each = take(arena, u->steps * (long)sizeof(projection_t));
    projection_t counted = {0}, *projections = u->net.projections;
    long longest = 0;
    real *output_error[3], *shown = take(arena, u->present * padded(job->sizes[0]) * one);
    real *input_error = take(arena, u->present * padded(job->sizes[0]) * one);
    for (long l = 0; l < 3; l++) {
        projection_t *p = arena->memory ? &projections[l] : &counted;
        lay_out_projection(job, p, l, &kinds[job->kinds[l]], events[l], 1, arena);
        if (p->parts_pad > longest) longest = p->parts_pad;
        output_error[l] = take(arena, events[l] * p->out_pad * one);
    }
    const long all = u->steps * u->pad * one;
    u->z = take(arena, all);
    u->y = take(arena, all);
    u->sent = take(arena, all);
    u->error = take(arena, all);
    u->parts = take(arena, longest * (long)sizeof(vec));
    u->sum = take(arena, longest * one);
    u->drive = take(arena, longest * one);
    if (!arena->memory) return;
    projection_t *in = projections, *hidden = in + HIDDEN, *out = in + OUTPUT;
    const long last = (u->steps - 1) * u->pad;
    in->pre = in->source = shown;
    in->error = u->error;
    in->pre_error = input_error;
    hidden->pre = u->y;
    hidden->source = u->z;
    hidden->post = u->sent + u->pad;
    hidden->error = u->error + u->pad;
    hidden->pre_error = u->error;
    out->pre = out->source = u->y + last;
    out->pre_error = u->error + last;
    for (long l = 0; l < 3; l++) {
        projection_t *p = &projections[l];
        p->branch = p->pre;
        p->output_error = l == OUTPUT ? p->error : output_error[l];
        p->kind->bind(p);
    }
    for (long t = 0; t < u->steps - 1; t++) {
        projection_t *at = &u->each[t];
        *at = *hidden;
        at->pre += t * u->pad;
        at->branch = at->pre;
        at->source += t * u->pad;
        at->post += t * u->pad;
        at->error += t * u->pad;
        at->pre_error += t * u->pad;
        at->weight_error += t * u->pad;
        at->feedback_error += t * u->pad;
        at->output_error += t * at->out_pad;
    }
}

static void activate_step(const real *z, real *y, long units) {
    SIMD for (long i = 0; i < padded(units); i++) y[i] = activation(z[i]);
    clear_padding(y, units);
}

static void unroll(unrolled_t *u) {
    projection_t *in = u->net.projections, *hidden = in + HIDDEN, *out = in + OUTPUT;
    const long pad = u->pad, units = hidden->n_post;
    send(&in->weight, in->pre, u->parts, u->drive);
    clear_padding(u->drive, units);
    for (long t = 0; t < u->steps; t++) {
        real *sent = u->sent + t * pad, *z = u->z + t * pad;
        if (t) {
            send(&hidden->weight, u->y + (t - 1) * pad, u->parts, u->sum);
            memcpy(sent, u->sum, pad * sizeof(real));
            clear_padding(sent, units);
        }
        const real now = t < u->present ? 1 : 0;
        SIMD for (long i = 0; i < pad; i++) z[i] = sent[i] + now * u->drive[i];
        activate_step(z, u->y + t * pad, units);
    }
    for (long t = 0; t < u->present; t++)
        memcpy(in->post + t * in->post_pad, u->drive, in->post_pad * sizeof(real));
    send(&out->weight, out->pre, u->parts, u->sum);
    loss_output(&u->net, u->sum, out->post, out->n_post);
    clear_padding(out->post, out->n_post);
}

/* W' e and B e of one event, as far as they are read, and the error before the projection. */
static void send_one_back(const network_t *net, projection_t *p, projection_t *at, int on) {
    const struct kind *kind = p->kind;
    const real *error = at->error;
    if (kind->weight_error) send_back(&p->weight, 1, &error, &at->weight_error, p);
    const real *through = FEEDBACK_ERROR(at);
    if (kind->feedback_error) send_back(&p->feedback, 1, &through, &at->feedback_error, p);
    if (on) kind->propagate(net, at, 1);
}

/* W' post of all events, two at a time. */
static void reconstruct(projection_t *p, long events) {
    for (long e = 0; e < events; e += 2) {
        const real *left[] = {p->post + e * p->post_pad, p->post + (e + 1) * p->post_pad};
        real *out[] = {p->recon + e * p->pre_pad, p->recon + (e + 1) * p->pre_pad};
        send_back(&p->weight, e + 1 < events ? 2 : 1, left, out, p);
    }
}

static void send_back_through_time(unrolled_t *u) {
    network_t *net = &u->net;
    projection_t *in = net->projections, *hidden = in + HIDDEN, *out = in + OUTPUT;
    for (projection_t *p = in; p < out; p++)
        for (long e = 0; e < (p == in ? u->present : u->steps - 1); e++)
            memcpy(p->output_error + e * p->out_pad, out->error, p->out_pad * sizeof(real));
    send_one_back(net, out, out, out->kind->propagate != 0);
    for (long t = u->steps - 2; t >= 0; t--)
        send_one_back(net, hidden, &u->each[t], hidden->kind->propagate != 0);
    for (long e = 0; e < u->present; e++) {
        projection_t at = *in;
        at.pre += e * in->pre_pad;
        at.branch = at.source = at.pre;
        at.post += e * in->post_pad;
        at.error += e * in->post_pad;
        at.pre_error += e * in->pre_pad;
        at.weight_error += e * in->pre_pad;
        at.feedback_error += e * in->pre_pad;
        at.output_error += e * in->out_pad;
        send_one_back(net, in, &at, 0);
    }
    if (in->kind->propagate) in->kind->propagate(net, in, u->present);
}

static void learn_recurrent(unrolled_t *u) {
    network_t *net = &u->net;
    const long events[] = {u->present, u->steps - 1, 1};
    send_back_through_time(u);
    for (int l = OUTPUT; l >= INPUT; l--) {
        projection_t *p = &net->projections[l];
        const struct kind *kind = p->kind;
        if (kind->recon) reconstruct(p, events[l]);
        kind->compute(net, p, events[l]);
    }
    for (int l = OUTPUT; l >= INPUT; l--) {
        projection_t *p = &net->projections[l];
        const struct kind *kind = p->kind;
        if (kind->feedback_count || kind->feedback_decay)
            if (collect(&p->feedback, &p->on_feedback, kind->feedback_count, kind->feedback_decay,
                        events[l]))
                flush(&p->feedback, 0, 0, 0, 0);
        if (collect_on_weight(p, events[l])) flush_weight(net, p, 0, 0);
    }
}

/* Returns the index of the point at which an output was not finite, or -1. */
static int64_t train_unrolled(job_t *job, unrolled_t *u, const int64_t *order) {
    projection_t *in = u->net.projections, *out = in + OUTPUT;
    for (long i = 0; i < job->samples; i++) {
        if (__atomic_load_n(&job->stop, __ATOMIC_RELAXED)) break;
        for (long t = 0; t < u->present; t++)
            load_inputs(job, in->pre + t * in->pre_pad, order + i, 1);
        unroll(u);
        if (!finite_outputs(out, 1)) return i;
        output_error(job, &u->net, order + i, 1);
        learn_recurrent(u);
    }
    for (int l = INPUT; l <= OUTPUT; l++) {
        flush(&in[l].weight, 0, 0, 0, 0);
        if (job->feedback) flush(&in[l].feedback, 0, 0, 0, 0);
    }
    return -1;
}

/* Nothing waits but what an update of one event adds. */
static void set_recurrent_periods(const job_t *job, unrolled_t *u, int64_t replica) {
    const long events[] = {u->present, u->steps - 1, 1};
    for (int l = INPUT; l <= OUTPUT; l++) {
        projection_t *p = &u->net.projections[l];
        const long wanted = events[l] > 1 ? 1 : job->periods[replica];
        const struct kind *kind = p->kind;
        set_matrix_period(job, &p->weight, kind->weight_count, kind->weight_decay, wanted);
        set_matrix_period(job, &p->feedback, kind->feedback_count, kind->feedback_decay, wanted);
    }
}

typedef unrolled_t workspace_t;

static network_t *network_of(workspace_t *w) { return &w->net; }

static void lay_out_workspace(const job_t *job, workspace_t *w, arena_t *arena) {
    lay_out_unrolled(job, w, arena);
}

static void copy_workspace(const job_t *job, workspace_t *w, int64_t replica, int back) {
    copy_network(job, &w->net, replica, back);
    if (!back) set_recurrent_periods(job, w, replica);
}

static int64_t train_replica(job_t *job, workspace_t *w, const int64_t *order) {
    return train_unrolled(job, w, order);
}
