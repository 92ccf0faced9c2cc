/* The passes of an update: those behind the first have projections of their own, with vectors of
their own, on the matrices and states of the first. */

static void lay_out_passes(const job_t *job, network_t *net) {
    for (long l = job->projections; l < PASSES * job->projections; l++) {
        projection_t *first = &net->projections[l % job->projections], *p = &net->projections[l];
        *p = *first;
        p->kind = &kinds[job->kinds[l]];
        first->later[l / job->projections - 1] = &p->all;
    }
}

/* Let them see what waits to be added to the matrices, before an update. */
static void take_up_matrices(network_t *net) {
    const long count = net->job->projections;
    for (long l = count; l < PASSES * count; l++) {
        net->projections[l].weight = net->projections[l % count].weight;
        net->projections[l].feedback = net->projections[l % count].feedback;
    }
}
