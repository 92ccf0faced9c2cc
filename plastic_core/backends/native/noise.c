/* Counted noise; see networks/noise.py. */

#define NOISE_STEP 0x9e3779b97f4a7c15u

INLINE uint64_t mix(uint64_t word) {
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
    return word ^ (word >> 31);
}

/* Standard normal numbers of one update from a place on; see networks/noise.py. */
static inline void make_normal(const network_t *net, uint64_t updates, uint64_t name, long before,
                               long n, real *out) {
    const uint64_t key = mix(mix(net->seed + updates * NOISE_STEP) ^ name);
    const real word_size = (real)4294967296.0, turn = (real)6.283185307179586;
    for (long i = 0; i < n; i++) {
        const uint64_t word = mix(key + (uint64_t)(before + i + 1) * NOISE_STEP);
        const real above = ((real)(uint32_t)(word >> 32) + (real)0.5) / word_size;
        const real below = (real)(uint32_t)word / word_size;
        out[i] = CALL(sqrt)(-2 * CALL(log)(above)) * CALL(cos)(turn * below);
    }
}

/* Those of some events of the present update. */
static inline void make_noise(const network_t *net, uint64_t name, long first, long events, long n,
                              real *out) {
    for (long e = 0; e < events; e++, out += padded(n)) {
        make_normal(net, net->updates, name, (first + e) * n, n, out);
        clear_padding(out, n);
    }
}

/* Those of a row of W from a column on, for a row of a tile. */
static inline void make_row_of_noise(const network_t *net, const projection_t *p, uint64_t name,
                                     long i, long column, long lanes, real *out) {
    /* increments of what is taken up ahead are added after the update was counted */
    const uint64_t updates = net->updates - (p == net->ahead);
    make_normal(net, updates, name, i * p->n_pre + column, least(lanes, p->n_pre - column), out);
}
