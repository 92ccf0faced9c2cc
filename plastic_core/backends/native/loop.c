/* One network through all samples between two evaluations. */

/* All that one projection learns from; whether its increments are to be added to W. */
static int learn(network_t *net, projection_t *p, long events) {
    const struct kind *kind = p->kind;
    send_errors_back(p, events);
    if (NORMALISE_BACK && kind->propagate) {
        kind->propagate(net, p, events);
        if (p > net->projections && p < net->projections + net->depth)
            normalise_back(p - 1, events);
    }
    kind->compute(net, p, events);
    if (kind->feedback_count || kind->feedback_decay)
        if (collect(&p->feedback, &p->on_feedback, kind->feedback_count, kind->feedback_decay,
                    events))
            flush(&p->feedback, 0, 0, 0, 0);
    return collect_on_weight(p, events);
}

/* Returns the index of the point at which an output was not finite, or -1.

The inputs of `ahead` updates are taken up at once: the product of the first layer with all of
them is computed in the pass that adds what waited until then. */
static int64_t train(job_t *job, network_t *net, const int64_t *order) {
    projection_t *first = net->projections, *top = first + net->depth - 1;
    const long samples = job->samples, group = job->batch * net->ahead;
    long ready = least(group, samples), used = 0; /* points of this group */
    real *inputs = net->inputs[0], *others = net->inputs[1];
    load_inputs(job, inputs, order, ready);
    forward(&first->weight, ready, inputs, first->parts, first->parts_pad);
    for (long start = 0, events; start < samples; start += events) {
        if (__atomic_load_n(&job->stop, __ATOMIC_RELAXED)) break;
        events = least(job->batch, samples - start);
        vec *parts = first->parts + used * first->parts_pad;
        first->pre = first->source = first->branch = inputs + used * first->pre_pad;
        if (first->weight.waiting) forward_waiting(&first->weight, first->pre, parts);
        finish_forward(first, parts, events);
        activate(net, first, events);
        for (projection_t *p = first + 1; p <= top; p++) {
            forward(&p->weight, events, p->pre, p->parts, p->parts_pad);
            finish_forward(p, p->parts, events);
            activate(net, p, events);
        }
        if (!finite_outputs(top, events)) return start;
        output_error(job, net, order + start, events);
        for (projection_t *p = top; p > first; p--) {
            if (learn(net, p, events)) flush_weight(net, p, 0, 0);
        }
        const int due = learn(net, first, events);
        for (projection_t *p = top + 1; p < first + net->matrices; p++)
            if (learn(net, p, events)) flush_weight(net, p, 0, 0);
        used += events;
        if (used < ready) continue;
        used = 0;
        ready = least(group, samples - start - events);
        load_inputs(job, others, order + start + events, ready);
        if (due) flush_weight(net, first, ready, others);
        else forward(&first->weight, ready, others, first->parts, first->parts_pad);
        real *swapped = inputs;
        inputs = others;
        others = swapped;
    }
    for (projection_t *p = first; p < first + net->matrices; p++) {
        flush(&p->weight, 0, 0, 0, 0);
        if (job->feedback) flush(&p->feedback, 0, 0, 0, 0);
    }
    return -1;
}

typedef network_t workspace_t;

static network_t *network_of(workspace_t *w) { return w; }

static void lay_out_workspace(const job_t *job, workspace_t *w, arena_t *arena) {
    lay_out(job, w, kinds, arena);
}

static void copy_workspace(const job_t *job, workspace_t *w, int64_t replica, int back) {
    copy_network(job, w, replica, back);
    if (!back) set_period(job, w, replica);
}

static int64_t train_replica(job_t *job, workspace_t *w, const int64_t *order) {
    return train(job, w, order);
}
