/* One network through all samples between two evaluations. */

static void softmax(const real *z, real *y, long n) {
    real most = z[0], total = 0;
    for (long i = 1; i < n; i++) most = z[i] > most ? z[i] : most;
    for (long i = 0; i < n; i++) total += y[i] = exp_(z[i] - most);
    for (long i = 0; i < n; i++) y[i] /= total;
}

static void forward_pass(network_t *net, long events) {
    for (long l = 0; l < net->depth; l++) {
        projection_t *p = &net->projections[l];
        if (l) forward(p, events, p->pre); /* of the first one the parts are there already */
        add_lanes(p, events);
        for (long e = 0; e < events; e++) {
            const real *z = p->z + e * p->post_pad;
            real *post = p->post + e * p->post_pad;
            if (l == net->depth - 1) {
                softmax(z, post, p->n_post);
                continue;
            }
            SIMD for (long i = 0; i < p->n_post; i++) post[i] = activation(z[i]);
            if (p->skip) {
                real *activity = p->activity + e * p->post_pad;
                const real *pre = p->pre + e * p->pre_pad;
                SIMD for (long i = 0; i < p->n_post; i++) activity[i] = post[i] + pre[i];
            }
        }
    }
}

/* The first point at which an output is not finite, or -1. */
static long unhealthy(const projection_t *top, long events) {
    for (long e = 0; e < events; e++)
        for (long i = 0; i < top->n_post; i++)
            if (!isfinite(top->post[e * top->post_pad + i])) return e;
    return -1;
}

static void load_inputs(const job_t *job, real *x, const int64_t *points, long events) {
    const long n = job->sizes[0];
    for (long e = 0; e < events; e++)
        memcpy(x + e * padded(n), job->inputs + points[e] * n, n * sizeof(real));
}

static int64_t train(job_t *job, network_t *net, const int64_t *order) {
    projection_t *first = net->projections, *top = first + net->depth - 1;
    const long samples = job->samples;
    long events = least(job->batch, samples);
    first->pre = net->inputs[0];
    load_inputs(job, first->pre, order, events);
    forward(first, events, first->pre);
    for (long start = 0; start < samples && !__atomic_load_n(&job->stop, __ATOMIC_RELAXED);
         start += events) {
        events = least(job->batch, samples - start);
        const long next = least(job->batch, samples - start - events);
        first->branch = first->pre;
        forward_pass(net, events);
        if (unhealthy(top, events) >= 0) return start;
        if (top->error)
            for (long e = 0; e < events; e++) {
                const real *target = job->targets + order[start + e] * job->classes;
                const long at = e * top->post_pad;
                for (long i = 0; i < top->n_post; i++)
                    top->error[at + i] = top->post[at + i] - target[i];
            }
        for (long l = net->depth - 1; l > 0; l--)
            run_pass(net, &net->projections[l], events, events, 0);
        /* after the last sample the products with the next input are computed in vain */
        real *ahead = net->inputs[first->pre == net->inputs[0]];
        load_inputs(job, ahead, order + start + events, next);
        memset(first->parts, 0, sizeof(vec) * (next ? next : events) * first->post_pad);
        run_pass(net, first, events, next ? next : events, ahead);
        first->pre = ahead;
    }
    return -1;
}

/* Between the matrices of Python, row by row, and the tiles. */
static void copy_matrix(const projection_t *p, vec *tiles, real *matrix, long rows, long row_step,
                        long column_step, int back) {
    for (long t = 0; t < tile_count(p); t++) {
        const long begin = tile_begin(p, t), width = tile_begin(p, t + 1) - begin;
        real *tile = (real *)(tiles + begin * rows);
        for (long i = 0; i < rows; i++)
            for (long j = 0; j < width * LANES; j++) {
                const long column = begin * LANES + j;
                real *here = tile + i * width * LANES + j;
                if (column >= p->n_pre) {
                    *here = 0;
                    continue;
                }
                real *there = matrix + i * row_step + column * column_step;
                if (back) *there = *here;
                else *here = *there;
            }
    }
}

static int all_finite(const real *values, long count) {
    real sum = 0; /* x - x is 0, or not a number where x is not finite */
    for (long i = 0; i < count; i++) sum += values[i] - values[i];
    return sum == 0;
}

static void copy_network(const job_t *job, network_t *net, int64_t replica, int back) {
    for (long l = 0; l < net->depth; l++) {
        projection_t *p = &net->projections[l];
        real *w = job->weights[l] + replica * job->weight_strides[l];
        copy_matrix(p, p->weight, w, p->n_post, p->n_pre, 1, back);
        if (p->feedback_rows) {
            real *b = job->feedback[l] + replica * job->feedback_strides[l];
            copy_matrix(p, p->feedback, b, p->feedback_rows, 1, p->feedback_rows, back);
        }
        for (long s = 0; s < STATES; s++) {
            const long at = l * STATES + s;
            if (job->states[at]) p->state[s] = job->states[at] + replica * job->state_strides[at];
        }
    }
}

static int finite_network(const network_t *net) {
    for (long l = 0; l < net->depth; l++) {
        const projection_t *p = &net->projections[l];
        const long pad = padded(p->n_pre);
        if (!all_finite((const real *)p->weight, p->n_post * pad)) return 0;
        if (!all_finite((const real *)p->feedback, p->feedback_rows * pad)) return 0;
    }
    return 1;
}

/* Hands out zeroed memory at multiples of a vector; with no memory given it only counts. */
typedef struct {
    char *memory;
    size_t used;
} arena_t;

static void *take(arena_t *arena, long bytes) {
    void *here = arena->memory ? arena->memory + arena->used : 0;
    arena->used += (bytes + VECTOR_BYTES - 1) / VECTOR_BYTES * VECTOR_BYTES;
    return here;
}

static void lay_out(const job_t *job, network_t *net, arena_t *arena) {
    const long depth = job->depth, most = job->batch, one = sizeof(real);
    net->depth = depth;
    net->projections = take(arena, depth * (long)sizeof(projection_t));
    real **const of_input[] = {&net->inputs[0], &net->inputs[1], &net->input_error};
    for (int i = 0; i < 3; i++) *of_input[i] = take(arena, most * padded(job->sizes[0]) * one);
    for (long l = 0; l < depth; l++) {
        projection_t scratch, *p = arena->memory ? &net->projections[l] : &scratch;
        p->kind = job->kinds[l];
        p->n_pre = job->sizes[l];
        p->n_post = job->sizes[l + 1];
        p->n_out = job->sizes[depth];
        p->skip = job->skips[l] != 0;
        p->pre_pad = padded(p->n_pre);
        p->post_pad = padded(p->n_post);
        p->out_pad = padded(p->n_out);
        p->feedback_rows = job->feedback ? job->feedback_rows[l] : 0;
        const long column = (p->n_post + p->feedback_rows) * VECTOR_BYTES;
        p->widest = least(WIDEST, TILE_BYTES / column);
        if (p->widest < 1) p->widest = 1;
        const long post = most * p->post_pad * one, pre = most * p->pre_pad * one;
        p->weight = take(arena, p->n_post * p->pre_pad * one);
        p->feedback = take(arena, p->feedback_rows * p->pre_pad * one);
        p->parts = take(arena, most * p->post_pad * (long)sizeof(vec));
        p->z = take(arena, post);
        p->post = take(arena, post);
        p->activity = p->skip ? take(arena, post) : p->post;
        p->error = take(arena, post);
        p->recon = take(arena, pre);
        p->weight_error = take(arena, pre);
        p->feedback_error = take(arena, pre);
        p->arrived = take(arena, pre);
        for (int b = 0; b < BUFFERS; b++) {
            const long units[] = {1, p->pre_pad, p->post_pad, p->out_pad};
            const long count = (buffer_events[b] ? most : 1) * units[buffer_units[b]];
            p->buffers[b] = take(arena, count * one);
        }
    }
    if (!arena->memory) return;
    projection_t *top = &net->projections[depth - 1];
    for (long l = 0; l < depth; l++) {
        projection_t *p = &net->projections[l];
        p->pre = l ? p[-1].activity : net->inputs[0];
        p->branch = l ? p[-1].post : net->inputs[0];
        p->pre_error = l ? p[-1].error : net->input_error;
        p->above = l < depth - 1 ? p[1].arrived : 0;
        p->output_error = top->error;
    }
}

/* Train replicas until none is left; several threads may run this on one job. Returns 1 where
there was no memory for the workspace, else 0. */
int plastic_train(job_t *job) {
    network_t net;
    arena_t arena = {0, 0};
    lay_out(job, &net, &arena);
    void *memory = calloc(arena.used + 4096, 1);
    if (!memory) return 1;
    const uintptr_t page = ((uintptr_t)memory + 4095) / 4096 * 4096;
    arena = (arena_t){(char *)page, 0};
    lay_out(job, &net, &arena);
    net.constant = job->constants;
    int64_t replica;
    while ((replica = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED)) < job->replicas) {
        if (!job->alive[replica]) continue;
        net.theta = job->thetas + replica * THETAS;
        copy_network(job, &net, replica, 0);
        int64_t failed = train(job, &net, job->order + replica * job->samples);
        if (failed < 0 && !finite_network(&net)) failed = job->samples - 1;
        copy_network(job, &net, replica, 1);
        job->failed[replica] = failed;
    }
    free(memory);
    return 0;
}
