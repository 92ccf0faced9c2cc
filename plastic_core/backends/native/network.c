/* What Python hands over, and the workspace that a thread trains a network in. */

/* One operation of a step. */
typedef struct {
    int64_t code, which;       /* `which` of the projections or activation functions */
    int64_t begin, count;      /* of the nodes or events that it is about, in mini-batches */
    int64_t at[4];             /* places of vectors, or -1 */
} operation_t;

/* All sizes and strides count elements. */
typedef struct {
    int64_t projections, replicas, samples, batch;
    int64_t begun;             /* number of the first update, counted from 0 */
    int64_t stop;              /* set by another thread: end soon */
    int64_t next;              /* the first replica that no thread has taken yet */
    int64_t buffers, places, operations;
    int64_t forward;           /* operations before the outputs are known */
    int64_t input, output;     /* places of x and y_L */
    int64_t outputs, answers;  /* units of y_L, and how often there is one */
    int64_t ahead;             /* the projection whose inputs are taken up ahead, or -1 */
    int64_t layouts;
    const int64_t *units;      /* [buffers] */
    const int64_t *nodes;      /* [buffers], which lie one after the other */
    const int64_t *place;      /* [places, 2], buffer and node in it */
    const operation_t *operation;
    const int64_t *rows, *columns; /* [projections], of W */
    const int64_t *events;     /* [projections], of an update, in mini-batches */
    const int64_t *signals;    /* [PASSES, projections, SIGNALS], places or -1 */
    const int64_t *kinds;      /* [PASSES, projections], index into the table of kinds */
    const int64_t *layout_begins, *layout; /* where each layout begins, and the layouts */
    const uint8_t *alive;      /* [replicas] */
    const int64_t *periods;    /* [replicas], updates that wait before they are added */
    real *const *weights;      /* [projections], each [replicas, n_post, n_pre] */
    const int64_t *weight_strides;
    real *const *feedback;     /* [projections] or null, each [replicas, n_pre, feedback_rows] */
    const int64_t *feedback_strides;
    const int64_t *feedback_rows;
    real *const *states;       /* [projections, STATES], null where the rule does not act */
    const int64_t *state_strides, *state_sizes; /* of one replica; size 0 for null */
    real *const *matrix_states; /* [projections, MATRIX_STATES], each [replicas, n_post, n_pre] or null */
    const int64_t *matrix_state_strides;
    real *const *own_matrices; /* [projections, OWN_MATRICES], null where the rule does not act */
    const int64_t *own_strides;
    real *const *masks;        /* [projections], each [n_post, n_pre] of 0 and 1, null for all 1 */
    const real *thetas;        /* [replicas, THETAS] */
    const real *factors;       /* [updates of the run, THETAS] of thetas, or null */
    const real *constants;
    const real *inputs;        /* [N, units of x] */
    const real *targets;       /* [N, answers, outputs] */
    const int64_t *order;      /* [replicas, samples] */
    const int64_t *noise;      /* [replicas, 2], what the seed gives and the number of updates */
    const int64_t *noise_names; /* [projections, NOISES] */
    int64_t *failed;           /* [replicas], out: index of the failed point, or -1 */
    /* where tangents are carried: with respect to so many thetas, and for each matrix
    [replicas, directions, ...], rows and columns as of the matrix */
    int64_t directions;
    real *const *weight_tangents, *const *feedback_tangents;
} job_t;

/* How a population is made of another: number n of place p is read at base p + offset n. */
typedef struct {
    long places, units; /* of what is read */
    long bases, offsets;
    int32_t *base, *offset; /* counted from the first number of a sample; a base of -1 is none */
} layout_t;

/* The same with the vectors, and the units of the first of them. */
typedef struct {
    int32_t code, which, begin, count;
    long units;
    real *v[4];
} bound_t;

/* The increments of one matrix, as vectors: [events][padded(n)] each, decays [padded(n)]. */
typedef struct {
    const real *row[COUNTS], *column[COUNTS];
    const real *row_decay, *column_decay;
} increment_t;

/* One projection; an update of it has `count` events of each sample. */
typedef struct {
    long n_pre, n_post, n_out, pre_pad, post_pad, out_pad, count;
    int at_once;               /* whether the events of an update are added at once */
    const struct kind *kind;
    matrix_t weight, feedback; /* feedback transposed */
    int masked;                /* whether connections are left out, */
    matrix_t mask;             /* and 1 where there is one */
    increment_t on_weight, on_feedback;
    increment_t on_weight_back; /* whose columns are W' v, of these v */
    signals_t all;             /* of all events */
    const signals_t *later[PASSES]; /* the same of the passes behind the first */
    real *buffers[BUFFERS + 1];
    real *state[STATES + 1];
    uint64_t noise[NOISES + 1]; /* their names */
    matrix_t matrix_state[MATRIX_STATES + 1]; /* in tiles as W is */
    matrix_t own[OWN_MATRICES + 1]; /* those over other populations */
} projection_t;

typedef struct {
    const job_t *job;
    const real *theta, *constant;
    real theta_now[THETAS + 1]; /* where they change over the run */
    uint64_t seed, updates;    /* what noise is made of */
    long events;               /* of the present mini-batch */
    const int64_t *points;     /* which they are */
    real *input, *output;      /* x and y_L */
    real *vectors;             /* all buffers, one after the other */
    long size, *begin;         /* of all buffers; where each of them begins */
    bound_t *operations;
    long together;             /* updates whose inputs are taken up at once */
    long used;                 /* points of those that are done with */
    int due;                   /* whether the increments of this projection are to be added: */
    projection_t *ahead;       /* whose inputs are taken up ahead, or null, */
    ahead_t block;             /* and what they give */
    real *inputs;              /* [together * batch] */
    projection_t *projections; /* of each pass */
    layout_t *layouts;
    /* scratch: z before its lanes are added up and after it, and of what waits */
    vec *sums;
    real *sum, *dots[2], *dots_back[2], *aside[2];
} network_t;

#define BY_VECTOR 1
#define UNIFORM 2

/* What happens at projections that are alike. */
struct kind {
    int weight_count, feedback_count; /* outer products added to the matrices, */
    int back_count;                   /* and to W those whose columns are W' v */
    int weight_decay, feedback_decay; /* 0, BY_VECTOR or UNIFORM */
    int transformed;                  /* whether elements of W change by themselves */
    int weight_error, recon, feedback_error; /* what must be sent back */
    void (*bind)(projection_t *p);           /* set on_weight and on_feedback */
    void (*compute)(const network_t *net, projection_t *p, long events);
    /* the error of what was sent, and z, of events from `first` on; or null */
    void (*propagate)(const network_t *net, projection_t *p, const signals_t *s, real *into,
                      long first, long events);
    void (*forward)(const network_t *net, projection_t *p, const signals_t *s, real *into,
                    long first, long events);
    void (*transform)(const network_t *net, projection_t *p); /* and add what waits, or null */
};

/* An activation function, in so many units, and where there are tangents its derivatives. */
struct activation {
    void (*apply)(const real *z, real *y, long count);
    void (*back)(const real *error, const real *z, const real *y, real *into, long count);
    void (*tangent)(const real *z, const real *y, const real *dz, real *dy, long count);
    void (*back_tangent)(const real *error, const real *z, const real *y, const real *derror,
                         const real *dz, const real *dy, real *into, long count);
};

/* Updates that wait before they are added, at most. Where rows or columns decay by fractions of
their own, where an update has several events, and where there is a mask, nothing waits. */
static long period(const job_t *job, const projection_t *p, int decays, long most) {
    return job->batch * p->count == 1 && decays != BY_VECTOR && !p->masked ? most : 1;
}

static long weight_period(const job_t *job, const projection_t *p, long l) {
    return period(job, p, p->kind->weight_decay, l == job->ahead ? AHEAD_PERIOD : PERIOD);
}

/* Where an update has several events they are added at once, and need no room to wait; but what
is transformed does. */
static long room_for(const projection_t *p, int count, long events, int transformed) {
    return p->at_once && !transformed ? 0 : count * events;
}

static void lay_out_matrix(matrix_t *m, arena_t *arena, long rows, long columns, long room,
                           long room_back) {
    *m = (matrix_t){.rows = rows, .columns = columns, .room = room, .room_back = room_back};
    m->tiles = take(arena, height(m) * padded(columns) * (long)sizeof(real));
    m->left = take(arena, (room + room_back) * padded(rows) * (long)sizeof(real));
    m->begins = take(arena, (tile_count(m) + 1) * (long)sizeof(long));
    for (long t = 0; arena->memory && t <= tile_count(m); t++)
        m->begins[t] = vectors(columns) * t / tile_count(m);
}

static void lay_out_projection(const job_t *job, projection_t *p, long l, const struct kind *kind,
                               arena_t *arena) {
    const long one = sizeof(real);
    p->kind = kind;
    p->n_pre = job->columns[l];
    p->n_post = job->rows[l];
    p->n_out = job->outputs;
    p->count = job->events[l];
    p->masked = job->masks[l] != 0;
    p->pre_pad = padded(p->n_pre);
    p->post_pad = padded(p->n_post);
    p->out_pad = padded(p->n_out);
    const long most = job->batch * p->count;
    /* what is known ahead waits in any case, and tangents are added one by one */
    p->at_once = most > 1 && l != job->ahead && !job->directions;
    const long events = most * weight_period(job, p, l);
    const long room = room_for(p, kind->weight_count, events, TRANSFORMED);
    lay_out_matrix(&p->weight, arena, p->n_post, p->n_pre, room, kind->back_count * events);
    if (job->feedback) {
        const long fed = most * period(job, p, kind->feedback_decay, PERIOD);
        lay_out_matrix(&p->feedback, arena, job->feedback_rows[l], p->n_pre,
                       room_for(p, kind->feedback_count, fed, 0), 0);
    }
    if (p->masked) lay_out_matrix(&p->mask, arena, p->n_post, p->n_pre, 0, 0);
    for (int s = 0; s < MATRIX_STATES; s++)
        lay_out_matrix(&p->matrix_state[s], arena, p->n_post, p->n_pre, 0, 0);
    const long widest = p->pre_pad > p->post_pad ? p->pre_pad : p->post_pad;
    for (int s = 0; s < STATES; s++) p->state[s] = take(arena, widest * one);
    for (int n = 0; n < NOISES; n++) p->noise[n] = (uint64_t)job->noise_names[l * NOISES + n];
    for (int b = 0; b < BUFFERS; b++) {
        const long units[] = {1, p->pre_pad, p->post_pad, p->out_pad};
        p->buffers[b] = take(arena, (buffer_events[b] ? most : 1) * units[buffer_units[b]] * one);
    }
}

/* Room for the products with any projection, those of tangents too. */
static void lay_out_scratch(network_t *net, arena_t *arena) {
    const long count = net->job->projections * (1 + net->job->directions);
    long longest = 0, waiting = 0;
    for (long l = 0; l < count; l++) {
        const projection_t *p = &net->projections[l];
        const long room = p->weight.room + p->weight.room_back + p->feedback.room;
        const long rows = p->n_post + p->weight.room;
        if (rows > longest) longest = rows;
        if (room > waiting) waiting = room;
    }
    net->sum = take(arena, (longest + 4) * (long)sizeof(real));
    net->sums = take(arena, (waiting + 4) * (long)sizeof(vec));
    for (int d = 0; d < 2; d++) {
        net->dots[d] = take(arena, (waiting + 4) * (long)sizeof(real));
        net->dots_back[d] = take(arena, (waiting + 4) * (long)sizeof(real));
    }
}

static long units_at(const job_t *job, int64_t place) { return job->units[job->place[2 * place]]; }

/* The vectors of all nodes, and what else belongs to no single projection. */
static void lay_out_network(const job_t *job, network_t *net, arena_t *arena) {
    const long one = sizeof(real);
    net->job = job;
    net->operations = take(arena, job->operations * (long)sizeof(bound_t));
    net->begin = take(arena, job->buffers * (long)sizeof(long));
    net->size = 0;
    for (long b = 0; b < job->buffers; b++) {
        if (arena->memory) net->begin[b] = net->size;
        net->size += job->nodes[b] * job->batch * padded(job->units[b]);
    }
    net->vectors = take(arena, net->size * (1 + job->directions) * one);
    net->ahead = job->ahead < 0 ? 0 : &net->projections[job->ahead];
    const long most = net->ahead ? weight_period(job, net->ahead, job->ahead) : 1;
    const long points = most * job->batch;
    net->inputs = take(arena, points * padded(units_at(job, job->input)) * one);
    if (net->ahead) lay_out_ahead(&net->block, &net->ahead->weight, points, arena);
}

/* The vectors at a place: those of a node one after the other, then those of the next node. */
static real *vectors_at(const network_t *net, int64_t place) {
    if (place < 0) return 0;
    const long buffer = net->job->place[2 * place], node = net->job->place[2 * place + 1];
    const long pad = padded(net->job->units[buffer]);
    return net->vectors + net->begin[buffer] + node * net->events * pad;
}

/* Say where vectors lie in mini-batches of this size. */
static void bind(network_t *net, long events) {
    const job_t *job = net->job;
    net->events = events;
    for (long i = 0; i < job->operations; i++) {
        const operation_t *o = &job->operation[i];
        bound_t *bound = &net->operations[i];
        *bound = (bound_t){o->code, o->which, o->begin, o->count};
        if (o->at[0] >= 0) bound->units = units_at(job, o->at[0]);
        for (int v = 0; v < 4; v++) bound->v[v] = vectors_at(net, o->at[v]);
    }
    net->input = vectors_at(net, job->input);
    net->output = vectors_at(net, job->output);
    /* those of the first pass last, for what they learn by is of all passes */
    for (long l = PASSES * job->projections - 1; l >= 0; l--) {
        projection_t *p = &net->projections[l];
        real **signal = (real **)&p->all;
        for (long s = 0; s < SIGNALS; s++)
            signal[s] = vectors_at(net, job->signals[l * SIGNALS + s]);
        p->kind->bind(p);
    }
}

/* Between the matrices of Python and the tiles, `back` or there. What a network that ended within
a block left behind is cleared, its padding too, where it may have written what is no number. */
INLINE void copy_steps(matrix_t *m, real *values, long row_step, const long column_step,
                       const int back) {
    nothing_waits(m);
    memset(m->left, 0, (m->room + m->room_back) * padded(m->rows) * (long)sizeof(real));
    for (long t = 0; t < tile_count(m); t++) {
        const long begin = m->begins[t], lanes = (m->begins[t + 1] - begin) * LANES;
        const long used = least(lanes, m->columns - begin * LANES);
        real *tile = (real *)tile_at(m, begin), *there = values + begin * LANES * column_step;
        for (long i = 0; i < m->rows; i++, tile += lanes, there += row_step) {
            for (long j = 0; j < used; j++)
                if (back) there[j * column_step] = tile[j];
                else tile[j] = there[j * column_step];
            for (long j = used; j < lanes; j++) tile[j] = 0;
        }
    }
}

static void copy_matrix(matrix_t *m, real *values, long row_step, long column_step, int back) {
    /* numbers that lie side by side are copied many at a time */
    if (column_step == 1 && back) copy_steps(m, values, row_step, 1, 1);
    else if (column_step == 1) copy_steps(m, values, row_step, 1, 0);
    else copy_steps(m, values, row_step, column_step, back);
}

static void set_matrix_period(matrix_t *m, long most, int count, long wanted) {
    m->period = least(most, wanted);
    if (m->period > 1 && !count) m->period = DECAY_PERIOD;
    m->patient = m->period > 1;
    m->updates = 0;
    m->lost = 0;
}

/* Let as many updates of a projection wait as suit this replica's decays. */
static void set_period(const job_t *job, projection_t *p, long l, long wanted) {
    const struct kind *kind = p->kind;
    const long weight = weight_period(job, p, l);
    const long feedback = period(job, p, kind->feedback_decay, PERIOD);
    set_matrix_period(&p->weight, weight, kind->weight_count + kind->back_count, wanted);
    set_matrix_period(&p->feedback, feedback, kind->feedback_count, wanted);
}

static void copy_network(const job_t *job, network_t *net, int64_t replica, int back) {
    for (long l = 0; l < job->projections; l++) {
        projection_t *p = &net->projections[l];
        real *w = job->weights[l] + replica * job->weight_strides[l];
        copy_matrix(&p->weight, w, p->n_pre, 1, back);
        if (p->masked && !back) copy_matrix(&p->mask, job->masks[l], p->n_pre, 1, 0);
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
            real *there = job->matrix_states[at];
            if (!there) continue;
            there += replica * job->matrix_state_strides[at];
            copy_matrix(&p->matrix_state[s], there, p->n_pre, 1, back);
        }
    }
}

static int finite_matrix(const matrix_t *m) {
    for (long t = 0; t < tile_count(m); t++) {
        const long begin = m->begins[t], width = m->begins[t + 1] - begin;
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
    for (long l = 0; l < job->projections; l++) {
        if (!finite_matrix(&net->projections[l].weight)) return 0;
        if (job->feedback && !finite_matrix(&net->projections[l].feedback)) return 0;
    }
    return 1;
}

/* Products that a rule asks for: W x, W' x and B x of all its events. */
static void multiply_forward(const network_t *net, const projection_t *p, long events,
                             const real *x, real *out);
static void multiply_back(const network_t *net, const projection_t *p, long events, const real *x,
                          real *out);
static void multiply_feed_back(const network_t *net, const projection_t *p, long events,
                               const real *x, real *out);
