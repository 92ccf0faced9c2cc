/* Learning without tangents. */

static void lay_out_tangents(network_t *net, arena_t *arena) { (void)net, (void)arena; }

static void bind_tangents(network_t *net) { (void)net; }

static void copy_tangents(network_t *net, int64_t replica, int back) {
    (void)net, (void)replica, (void)back;
}

static void carry_tangents(network_t *net, const bound_t *o) { (void)net, (void)o; }

static void flush_tangents(network_t *net) { (void)net; }

/* All that one projection learns from; increments are added where it is time. */
static void learn(network_t *net, projection_t *p) {
    const struct kind *kind = p->kind;
    const long events = p->count * net->events;
    kind->compute(net, p, events);
    if (kind->feedback_count || kind->feedback_decay)
        if (collect(&p->feedback, &p->on_feedback, kind->feedback_count, kind->feedback_decay,
                    events))
            flush(&p->feedback);
    if (p->masked && MASKED_FEEDBACK && net->job->feedback) leave_out(&p->feedback, &p->mask);
    const int due = collect_on_weight(net, p, events);
    if (p == net->ahead) net->due = due; /* in the pass that takes up the next inputs */
    else if (due) flush_weight(net, p);
    if (p->masked) leave_out(&p->weight, &p->mask);
}
