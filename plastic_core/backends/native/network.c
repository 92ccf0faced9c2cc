/* What Python hands over, and the workspace that a thread trains a network in. */

/* All sizes and strides count elements. */
typedef struct {
    int64_t depth, replicas, samples, batch, classes;
    int64_t matrices;          /* of projections: depth, and behind them those of biases */
    int64_t stop;              /* set by another thread: end soon */
    int64_t next;              /* the first replica that no thread has taken yet */
    const int64_t *sizes;      /* [depth + 1] */
    const int64_t *skips;      /* [depth], whether a residual connection goes around it */
    const int64_t *kinds;      /* [matrices], index into the table of kinds */
    const uint8_t *alive;      /* [replicas] */
    const int64_t *periods;    /* [replicas], updates that wait before they are added */
    real *const *weights;      /* [matrices], each [replicas, n_post, n_pre] */
    const int64_t *weight_strides;
    real *const *feedback;     /* [matrices] or null, each [replicas, n_pre, feedback_rows] */
    const int64_t *feedback_strides;
    const int64_t *feedback_rows;
    real *const *states;       /* [matrices, STATES], null where the rule does not act */
    const int64_t *state_strides, *state_sizes; /* of one replica; size 0 for null */
    real *const *matrix_states; /* [matrices, MATRIX_STATES], each [replicas, n_post, n_pre] */
    const int64_t *matrix_state_strides;
    const real *thetas;        /* [replicas, THETAS] */
    const real *constants;
    const real *inputs;        /* [N, n_0] */
    const real *targets;       /* [N, classes], classes being the outputs */
    const int64_t *order;      /* [replicas, samples] */
    int64_t *failed;           /* [replicas], out: index of the failed point, or -1 */
    /* where tangents are carried: with respect to so many thetas, and for each matrix
    [replicas, directions, ...], rows and columns as of the matrix */
    int64_t directions;
    real *const *weight_tangents, *const *feedback_tangents;
    int64_t present, steps;    /* of a recurrent network */
} job_t;

/* The increments of one matrix, as vectors: [events][padded(n)] each, decays [padded(n)]. */
typedef struct {
    const real *row[COUNTS], *column[COUNTS];
    const real *row_decay, *column_decay;
} increment_t;

/* One projection. */
typedef struct {
    long n_pre, n_post, n_out, pre_pad, post_pad, out_pad, parts_pad;
    int skip;
    const struct kind *kind;
    matrix_t weight, feedback; /* feedback transposed */
    increment_t on_weight, on_feedback;
    vec *parts;                /* [events][parts_pad], z before its lanes are added up */
    vec *sums;                 /* scratch for what waits */
    real *z, *scale, *dots[2]; /* scale: [events], of layer normalisation */
    real *post, *activity, *error, *recon, *weight_error, *feedback_error, *arrived;
    real *buffers[BUFFERS + 1];
    /* of other projections, or the input */
    real *pre, *source, *branch, *pre_error, *above, *output_error;
    real *state[STATES + 1];
    matrix_t matrix_state[MATRIX_STATES + 1]; /* of transforms, in tiles as W is */
} projection_t;

typedef struct {
    long depth, matrices;
    const real *theta, *constant;
    long ahead;                /* updates whose inputs are taken up at once */
    real *inputs[2], *input_error;
    projection_t *projections; /* the layers, and behind them their biases */
} network_t;

#define BY_VECTOR 1
#define UNIFORM 2

/* What happens at projections that are alike. */
struct kind {
    int weight_count, feedback_count; /* outer products added to the matrices */
    int weight_decay, feedback_decay; /* 0, BY_VECTOR or UNIFORM */
    int weight_error, recon, feedback_error; /* what must be sent back */
    void (*bind)(projection_t *p);           /* set on_weight and on_feedback */
    void (*compute)(const network_t *net, projection_t *p, long events);
    void (*propagate)(const network_t *net, projection_t *p, long events); /* or null: compute does */
};

/* Updates that wait before they are added, at most. Where rows or columns decay by fractions of
their own, and in mini-batches, nothing waits. */
static long period(const job_t *job, int decays) {
    return job->batch == 1 && decays != BY_VECTOR ? PERIOD : 1;
}

/* Hands out zeroed memory at multiples of a cache line; with no memory given it only counts. */
typedef struct {
    char *memory;
    size_t used;
} arena_t;

static void *take(arena_t *arena, long bytes) {
    void *here = arena->memory ? arena->memory + arena->used : 0;
    arena->used += (size_t)(bytes + 63) / 64 * 64;
    return here;
}

static void lay_out_matrix(matrix_t *m, arena_t *arena, long rows, long columns, long room) {
    *m = (matrix_t){.rows = rows, .columns = columns, .room = room};
    m->tiles = take(arena, (rows + room) * padded(columns) * (long)sizeof(real));
    m->left = take(arena, room * padded(rows) * (long)sizeof(real));
}

/* `most` events in one update, and the inputs of `ahead` updates at once. */
static void lay_out_projection(const job_t *job, projection_t *p, long l, const struct kind *kind,
                               long most, long ahead, arena_t *arena) {
    const long one = sizeof(real);
    p->kind = kind;
    const int bias = l >= job->depth;
    p->n_pre = bias ? 1 : job->sizes[l];
    p->n_post = job->sizes[l % job->depth + 1];
    p->n_out = job->sizes[job->depth];
    p->skip = !bias && job->skips[l];
    p->pre_pad = padded(p->n_pre);
    p->post_pad = padded(p->n_post);
    p->out_pad = padded(p->n_out);
    const long room = kind->weight_count * most * (most > 1 ? 1 : period(job, kind->weight_decay));
    lay_out_matrix(&p->weight, arena, p->n_post, p->n_pre, room);
    if (job->feedback) {
        const long updates = most > 1 ? 1 : period(job, kind->feedback_decay);
        const long waiting = kind->feedback_count * most * updates;
        lay_out_matrix(&p->feedback, arena, job->feedback_rows[l], p->n_pre, waiting);
    }
    p->parts_pad = padded(p->n_post + room);
    const long events = most * ahead;
    p->parts = take(arena, events * p->parts_pad * (long)sizeof(vec));
    p->sums = take(arena, (room + p->feedback.room + 4) * (long)sizeof(vec));
    p->z = take(arena, most * p->parts_pad * one);
    p->scale = take(arena, most * one);
    for (int d = 0; d < 2; d++) p->dots[d] = take(arena, (room + p->feedback.room + 4) * one);
    const long post = most * p->post_pad * one, pre = most * p->pre_pad * one;
    p->post = take(arena, post);
    p->activity = p->skip ? take(arena, post) : p->post;
    p->error = take(arena, post);
    p->recon = take(arena, pre);
    p->weight_error = take(arena, pre);
    p->feedback_error = take(arena, pre);
    p->arrived = take(arena, pre);
    for (int s = 0; s < MATRIX_STATES; s++)
        lay_out_matrix(&p->matrix_state[s], arena, p->n_post, p->n_pre, 0);
    const long widest = p->pre_pad > p->post_pad ? p->pre_pad : p->post_pad;
    for (int s = 0; s < STATES; s++) p->state[s] = take(arena, widest * one);
    for (int b = 0; b < BUFFERS; b++) {
        const long units[] = {1, p->pre_pad, p->post_pad, p->out_pad};
        p->buffers[b] = take(arena, (buffer_events[b] ? most : 1) * units[buffer_units[b]] * one);
    }
}

static void lay_out(const job_t *job, network_t *net, const struct kind *kinds, arena_t *arena) {
    const long depth = job->depth;
    const struct kind *first = &kinds[job->kinds[0]];
    net->depth = depth;
    net->matrices = job->matrices;
    net->ahead = period(job, first->weight_decay);
    net->projections = take(arena, net->matrices * (long)sizeof(projection_t));
    real *ones = take(arena, job->batch * LANES * (long)sizeof(real));
    const long input = job->batch * padded(job->sizes[0]) * (long)sizeof(real);
    for (int i = 0; i < 2; i++) net->inputs[i] = take(arena, net->ahead * input);
    net->input_error = take(arena, input);
    projection_t counted = {0}, *projections = net->projections;
    for (long l = 0; l < net->matrices; l++)
        lay_out_projection(job, arena->memory ? &projections[l] : &counted, l,
                           &kinds[job->kinds[l]], job->batch, l ? 1 : net->ahead, arena);
    if (!arena->memory) return;
    for (long e = 0; e < job->batch; e++) ones[e * LANES] = 1;
    for (long l = 0; l < depth; l++) {
        projection_t *p = &projections[l];
        p->pre = p->source = l ? p[-1].activity : net->inputs[0];
        p->branch = l ? p[-1].post : net->inputs[0];
        p->pre_error = l ? p[-1].error : net->input_error;
        p->above = l < depth - 1 ? p[1].arrived : 0;
        p->output_error = projections[depth - 1].error;
        p->kind->bind(p);
    }
    for (long l = depth; l < net->matrices; l++) { /* from a unit that is always 1 */
        projection_t *p = &projections[l], *layer = p - depth;
        p->pre = p->source = p->branch = ones;
        p->pre_error = p->arrived; /* nobody reads it */
        p->post = layer->post;
        p->error = layer->error;
        p->output_error = projections[depth - 1].error;
        p->kind->bind(p);
    }
}

/* Between the matrices of Python and the tiles, `back` or there. */
static void copy_matrix(matrix_t *m, real *values, long row_step, long column_step, int back) {
    m->waiting = 0;
    for (long t = 0; t < tile_count(m); t++) {
        const long begin = tile_begin(m, t), lanes = (tile_begin(m, t + 1) - begin) * LANES;
        real *tile = (real *)tile_at(m, begin);
        for (long i = 0; i < m->rows; i++)
            for (long j = 0; j < lanes; j++) {
                const long column = begin * LANES + j;
                real *here = tile + i * lanes + j;
                if (column >= m->columns) *here = 0;
                else if (back) values[i * row_step + column * column_step] = *here;
                else *here = values[i * row_step + column * column_step];
            }
    }
}

static void set_matrix_period(const job_t *job, matrix_t *m, int count, int decays, long wanted) {
    m->period = least(period(job, decays), wanted);
    if (m->period > 1 && !count) m->period = DECAY_PERIOD;
    m->patient = m->period > 1;
    m->updates = 0;
    m->lost = 0;
}

/* Let as many updates wait as suit this replica's decays. */
static void set_period(const job_t *job, network_t *net, int64_t replica) {
    const long wanted = job->periods[replica];
    net->ahead = least(period(job, net->projections[0].kind->weight_decay), wanted);
    for (long l = 0; l < net->matrices; l++) {
        projection_t *p = &net->projections[l];
        const struct kind *kind = p->kind;
        set_matrix_period(job, &p->weight, kind->weight_count, kind->weight_decay, wanted);
        set_matrix_period(job, &p->feedback, kind->feedback_count, kind->feedback_decay, wanted);
    }
}

static void copy_network(const job_t *job, network_t *net, int64_t replica, int back) {
    for (long l = 0; l < net->matrices; l++) {
        projection_t *p = &net->projections[l];
        real *w = job->weights[l] + replica * job->weight_strides[l];
        copy_matrix(&p->weight, w, p->n_pre, 1, back);
        if (job->feedback) {
            real *b = job->feedback[l] + replica * job->feedback_strides[l];
            copy_matrix(&p->feedback, b, 1, p->feedback.rows, back);
        }
        for (long s = 0; s < STATES; s++) {
            const long at = l * STATES + s, size = job->state_sizes[at] * (long)sizeof(real);
            real *there = job->states[at] + replica * job->state_strides[at];
            if (size) memcpy(back ? there : p->state[s], back ? p->state[s] : there, size);
        }
        for (long s = 0; s < MATRIX_STATES; s++) {
            const long at = l * MATRIX_STATES + s;
            real *there = job->matrix_states[at] + replica * job->matrix_state_strides[at];
            copy_matrix(&p->matrix_state[s], there, p->n_pre, 1, back);
        }
    }
}

static int finite_matrix(const matrix_t *m) {
    for (long t = 0; t < tile_count(m); t++) {
        const long begin = tile_begin(m, t), width = tile_begin(m, t + 1) - begin;
        vec sum = {0}; /* x - x is 0, and not a number where x is not finite */
        for (long i = 0; i < m->rows * width; i++) {
            const vec x = tile_at(m, begin)[i];
            sum += x - x;
        }
        for (long i = 0; i < LANES; i++)
            if (sum[i] != 0) return 0;
    }
    return 1;
}

static int finite_network(const job_t *job, const network_t *net) {
    for (long l = 0; l < net->matrices; l++) {
        if (!finite_matrix(&net->projections[l].weight)) return 0;
        if (job->feedback && !finite_matrix(&net->projections[l].feedback)) return 0;
    }
    return 1;
}
