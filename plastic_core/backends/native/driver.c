/* The driver: networks through all samples between two evaluations, each in a copy of its own. */

static void carry_out_all(network_t *net, long from, long to) {
    for (const bound_t *o = net->operations + from; from < to; from++, o++) {
        if (o->code == LEARN) {
            learn(net, &net->projections[o->which]);
            continue;
        }
        carry_out(net, o);
        carry_tangents(net, o);
    }
}

static int finite_outputs(const network_t *net) {
    const long n = net->job->outputs, pad = padded(n);
    for (long e = 0; e < net->events * net->job->answers; e++)
        for (long i = 0; i < n; i++)
            if (!isfinite(net->output[e * pad + i])) return 0;
    return 1;
}

/* The inputs of some points, and what is taken up ahead with them. */
static void take_inputs(network_t *net, const int64_t *points, long count) {
    const job_t *job = net->job;
    const long n = units_at(job, job->input);
    for (long e = 0; e < count; e++)
        memcpy(net->inputs + e * padded(n), job->inputs + points[e] * n, n * sizeof(real));
    if (net->ahead) {
        take_up(&net->block, &net->ahead->weight, count, net->inputs, padded(n));
        flush_ahead(&net->ahead->weight, &net->block, net->due);
    }
    net->due = 0;
    net->used = 0;
}

/* Thetas of this update: those of the replica times their factors. */
static void set_thetas(network_t *net, const real *thetas, int64_t update) {
    const real *factors = net->job->factors + update * THETAS;
    for (long t = 0; t < THETAS; t++) net->theta_now[t] = thetas[t] * factors[t];
    net->theta = net->theta_now;
}

/* Returns the index of the point at which an output was not finite, or -1. */
static int64_t train(job_t *job, network_t *net, const int64_t *order) {
    const real *thetas = net->theta;
    const long samples = job->samples, group = job->batch * net->together;
    const long input = padded(units_at(job, job->input));
    long ready = least(group, samples); /* points whose inputs are taken up */
    take_inputs(net, order, ready);
    for (long start = 0; start < samples; start += net->events) {
        if (__atomic_load_n(&job->stop, __ATOMIC_RELAXED)) break;
        const long events = least(job->batch, samples - start);
        if (events != net->events) {
            bind(net, events);
            bind_tangents(net);
        }
        memcpy(net->input, net->inputs + net->used * input, events * input * sizeof(real));
        net->points = order + start;
        take_up_matrices(net);
        if (job->factors) set_thetas(net, thetas, job->begun + start / job->batch);
        carry_out_all(net, 0, job->forward);
        if (!finite_outputs(net)) return start;
        carry_out_all(net, job->forward, job->operations);
        net->updates++;
        net->used += events;
        if (net->used < ready) continue;
        ready = least(group, samples - start - events);
        take_inputs(net, order + start + events, ready);
    }
    for (long l = 0; l < job->projections; l++) {
        if (l == job->ahead) {
            net->block.count = 0;
            flush_ahead(&net->ahead->weight, &net->block, 1);
        } else flush(&net->projections[l].weight);
        if (job->feedback) flush(&net->projections[l].feedback);
    }
    flush_tangents(net);
    return -1;
}

static void lay_out(job_t *job, network_t *net, arena_t *arena) {
    for (long l = 0; l < job->projections; l++)
        lay_out_projection(job, &net->projections[l], l, &kinds[job->kinds[l]], arena);
    for (long l = 0; l < job->projections; l++) lay_out_own(&net->projections[l], arena);
    lay_out_passes(job, net);
    lay_out_layouts(job, net, arena);
    lay_out_network(job, net, arena);
    lay_out_tangents(net, arena);
    lay_out_scratch(net, arena);
}

static int64_t train_replica(job_t *job, network_t *net, int64_t replica) {
    net->theta = job->thetas + replica * THETAS;
    if (NOISES) {
        net->seed = (uint64_t)job->noise[2 * replica];
        net->updates = (uint64_t)job->noise[2 * replica + 1];
    }
    for (long l = 0; l < job->projections; l++)
        set_period(job, &net->projections[l], l, job->periods[replica]);
    net->together = 1;
    if (net->ahead)
        net->together = least(weight_period(job, net->ahead, job->ahead), job->periods[replica]);
    net->due = 0;
    net->block.lost_at_once = 0;
    copy_network(job, net, replica, 0);
    copy_own(job, net, replica, 0);
    copy_tangents(net, replica, 0);
    int64_t failed = train(job, net, job->order + replica * job->samples);
    if (failed < 0 && !finite_network(job, net)) failed = job->samples - 1;
    copy_network(job, net, replica, 1);
    copy_own(job, net, replica, 1);
    copy_tangents(net, replica, 1);
    return failed;
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

/* y of so many z, by one of the activation functions. */
void plastic_activate(int64_t which, const real *z, real *y, int64_t count) {
    const unsigned before = flush_tiny_numbers();
    activations[which].apply(z, y, count);
    restore_tiny_numbers(before);
}

/* Train replicas until none is left; several threads may run this on one job. Returns 1 where
there was no memory for the workspace, else 0. */
int plastic_train(job_t *job) {
    const size_t count = job->projections * (PASSES + job->directions);
    network_t net = {.projections = calloc(count, sizeof(projection_t)), .constant = job->constants};
    if (!net.projections) return 1;
    arena_t arena = {0, 0};
    lay_out(job, &net, &arena);
    void *memory = calloc(arena.used + 4096, 1);
    if (memory) {
        arena = (arena_t){(char *)(((uintptr_t)memory + 4095) / 4096 * 4096), 0};
        lay_out(job, &net, &arena);
        const unsigned before = flush_tiny_numbers();
        int64_t replica;
        while ((replica = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED)) < job->replicas)
            if (job->alive[replica]) job->failed[replica] = train_replica(job, &net, replica);
        restore_tiny_numbers(before);
    }
    free(memory);
    free(net.projections);
    return !memory;
}
