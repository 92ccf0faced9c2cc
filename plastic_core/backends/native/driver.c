/* The driver: whatever is trained in a workspace is so in a copy of each replica. */

/* Train replicas until none is left; several threads may run this on one job. Returns 1 where
there was no memory for the workspace, else 0. */
int plastic_train(job_t *job) {
    workspace_t workspace;
    arena_t arena = {0, 0};
    lay_out_workspace(job, &workspace, &arena);
    void *memory = calloc(arena.used + 4096, 1);
    if (!memory) return 1;
    arena = (arena_t){(char *)(((uintptr_t)memory + 4095) / 4096 * 4096), 0};
    lay_out_workspace(job, &workspace, &arena);
    network_t *net = network_of(&workspace);
    net->constant = job->constants;
    const unsigned before = flush_tiny_numbers();
    int64_t replica;
    while ((replica = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED)) < job->replicas) {
        if (!job->alive[replica]) continue;
        net->theta = job->thetas + replica * THETAS;
        copy_workspace(job, &workspace, replica, 0);
        int64_t failed = train_replica(job, &workspace, job->order + replica * job->samples);
        if (failed < 0 && !finite_network(job, net)) failed = job->samples - 1;
        copy_workspace(job, &workspace, replica, 1);
        job->failed[replica] = failed;
    }
    restore_tiny_numbers(before);
    free(memory);
    return 0;
}
