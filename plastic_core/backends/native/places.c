/* Populations with places: images laid out in patches, in places or in one, pools, and the
products of a matrix with the events of many places. */

/* Room for layouts: their tables count numbers from the first of a sample. */
static void lay_out_layout(const int64_t *numbers, layout_t *l, arena_t *arena) {
    *l = (layout_t){numbers[0], numbers[1], numbers[2], numbers[3], 0, 0};
    l->base = take(arena, l->bases * (long)sizeof(int32_t));
    l->offset = take(arena, l->offsets * (long)sizeof(int32_t));
    if (!arena->memory) return;
    const int64_t *at = numbers + 4;
    for (long i = 0; i < l->bases + l->offsets; i++, at += 2) {
        const int32_t here = at[0] < 0 ? -1 : (int32_t)(at[0] * padded(l->units) + at[1]);
        if (i < l->bases) l->base[i] = here;
        else l->offset[i - l->bases] = here;
    }
}

static void lay_out_layouts(const job_t *job, network_t *net, arena_t *arena) {
    net->layouts = take(arena, job->layouts * (long)sizeof(layout_t));
    for (long k = 0; k < job->layouts; k++) {
        layout_t counted;
        lay_out_layout(job->layout + job->layout_begins[k],
                       arena->memory ? &net->layouts[k] : &counted, arena);
    }
}

/* to[p][n] = from[base p + offset n], or 0. */
static void gather(const layout_t *l, long events, const real *from, real *to) {
    const long size = l->places * padded(l->units), pad = padded(l->offsets);
    for (long e = 0; e < events; e++, from += size)
        for (long p = 0; p < l->bases; p++, to += pad) {
            if (l->base[p] < 0) {
                memset(to, 0, pad * sizeof(real));
                continue;
            }
            const real *here = from + l->base[p];
            for (long n = 0; n < l->offsets; n++) to[n] = here[l->offset[n]];
            clear_padding(to, l->offsets);
        }
}

/* The transpose of `gather`. */
static void scatter(const layout_t *l, long events, const real *from, real *to) {
    const long size = l->places * padded(l->units), pad = padded(l->offsets);
    memset(to, 0, events * size * sizeof(real));
    for (long e = 0; e < events; e++, to += size)
        for (long p = 0; p < l->bases; p++, from += pad) {
            if (l->base[p] < 0) continue;
            real *here = to + l->base[p];
            for (long n = 0; n < l->offsets; n++) here[l->offset[n]] += from[n];
        }
}

/* The largest of each unit in each window. */
static void pool(const layout_t *l, long events, const real *x, real *y) {
    const long pad = padded(l->units);
    for (long e = 0; e < events; e++, x += l->places * pad)
        for (long p = 0; p < l->bases; p++, y += pad) {
            memcpy(y, x + l->base[p] + l->offset[0], pad * sizeof(real));
            for (long w = 1; w < l->offsets; w++) {
                const real *here = x + l->base[p] + l->offset[w];
                /* what is not a number is passed on, so that the outputs tell of it */
                SIMD for (long i = 0; i < pad; i++)
                    y[i] = here[i] > y[i] || here[i] != here[i] ? here[i] : y[i];
            }
        }
}

typedef __typeof__((vec){0} == (vec){0}) mask;

/* The error goes to the first place that has the largest. */
static void pool_back(const layout_t *l, long events, const real *error, const real *x,
                      const real *y, real *into) {
    const long pad = padded(l->units), size = l->places * pad;
    memset(into, 0, events * size * sizeof(real));
    for (long e = 0; e < events; e++, x += size, into += size)
        for (long p = 0; p < l->bases; p++, y += pad, error += pad)
            for (long i = 0; i < pad; i += LANES) {
                const vec largest = *(const vec *)(y + i);
                mask left = (mask)*(const vec *)(error + i); /* bits of what is not given yet */
                for (long w = 0; w < l->offsets; w++) {
                    const long at = l->base[p] + l->offset[w] + i;
                    const mask given = left & (*(const vec *)(x + at) == largest);
                    *(vec *)(into + at) += (vec)given;
                    left ^= given;
                }
            }
}

/* The mean of each unit in each window. */
static void average(const layout_t *l, long events, const real *x, real *y) {
    const long pad = padded(l->units);
    for (long e = 0; e < events; e++, x += l->places * pad)
        for (long p = 0; p < l->bases; p++, y += pad) {
            memset(y, 0, pad * sizeof(real));
            for (long w = 0; w < l->offsets; w++) add(y, x + l->base[p] + l->offset[w], y, pad);
            SIMD for (long i = 0; i < pad; i++) y[i] /= (real)l->offsets;
        }
}

static void average_back(const layout_t *l, long events, const real *error, real *into) {
    const long pad = padded(l->units), size = l->places * pad;
    memset(into, 0, events * size * sizeof(real));
    for (long e = 0; e < events; e++, into += size)
        for (long p = 0; p < l->bases; p++, error += pad)
            for (long w = 0; w < l->offsets; w++) {
                real *here = into + l->base[p] + l->offset[w];
                SIMD for (long i = 0; i < pad; i++) here[i] += error[i] / (real)l->offsets;
            }
}

/* Four rows of W times three events, so that what is summed fills the registers. */
#define EVENTS 3
#define BYTES_AT_ONCE (1 << 17)

INLINE void forward_block(const int rows, const int events, const matrix_t *m, long i, const real *x,
                       real *z) {
    const long x_pad = padded(m->columns), z_pad = padded(m->rows);
    vec sum[EVENTS][ROWS] = {0};
    for (long t = 0; t < tile_count(m); t++) {
        const long begin = m->begins[t], width = m->begins[t + 1] - begin;
        const vec *tile = tile_at(m, begin) + i * width, *from = (const vec *)x + begin;
        for (long v = 0; v < width; v++, from++) {
            vec ahead[EVENTS];
            for (int e = 0; e < events; e++) {
                ahead[e] = from[e * x_pad / LANES];
                IN_REGISTER(ahead[e]);
            }
            for (int r = 0; r < rows; r++) {
                vec w = tile[r * width + v];
                IN_REGISTER(w);
                for (int e = 0; e < events; e++) sum[e][r] += w * ahead[e];
            }
        }
    }
    for (int e = 0; e < events; e++) {
        quad four;
        add_lanes(sum[e], ROWS, (real *)&four);
        for (int r = 0; r < rows; r++) z[e * z_pad + i + r] = four[r];
    }
}

INLINE void forward_some(const int rows, const matrix_t *m, long i, long events, const real *x,
                         real *z) {
    const long x_pad = padded(m->columns), z_pad = padded(m->rows);
    long e = 0;
    for (; e + EVENTS <= events; e += EVENTS)
        forward_block(rows, EVENTS, m, i, x + e * x_pad, z + e * z_pad);
    for (; e < events; e++) forward_block(rows, 1, m, i, x + e * x_pad, z + e * z_pad);
}

/* z = W x for many events, of which as many as fit into the second-level cache meet all rows. */
static void forward_many(const matrix_t *m, long events, const real *x, real *z) {
    const long x_pad = padded(m->columns), z_pad = padded(m->rows);
    const long most = least(events, EVENTS + BYTES_AT_ONCE / (x_pad * (long)sizeof(real)));
    for (long from = 0; from < events; from += most) {
        const long some = least(most, events - from);
        const real *x_some = x + from * x_pad;
        real *z_some = z + from * z_pad;
        long i = 0;
        for (; i + ROWS <= m->rows; i += ROWS) forward_some(ROWS, m, i, some, x_some, z_some);
        for (; i < m->rows; i++) forward_some(1, m, i, some, x_some, z_some);
    }
    for (long e = 0; e < events; e++) clear_padding(z + e * z_pad, m->rows);
}

INLINE void back_many_tile(const int width, const vec *tile, long begin, const matrix_t *m,
                           long events, const real *left, real *out) {
    send_many_back(width, tile, m, events, left, (vec *)out + begin, vectors(m->columns));
}

/* out = M' left for many events. */
static void back_many(const matrix_t *m, long events, const real *left, real *out) {
    FOR_TILES(m, back_many_tile, m, events, left, out)
}

INLINE void learn_block(const int width, const int rows, vec *tile, long begin, const matrix_t *m,
                        long i, long events, const real *row, const real *column) {
    vec sum[ROWS][WIDEST] = {0};
    add_products(width, rows, sum, (const vec *)column + begin, vectors(m->columns), row + i,
                 padded(m->rows), events);
    tile += i * width;
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < width; v++) tile[r * width + v] += sum[r][v];
}

INLINE void learn_many_tile(const int width, vec *tile, long begin, const matrix_t *m,
                              long events, const real *row, const real *column) {
    long i = 0;
    for (; i + ROWS <= m->rows; i += ROWS)
        learn_block(width, ROWS, tile, begin, m, i, events, row, column);
    for (; i < m->rows; i++) learn_block(width, 1, tile, begin, m, i, events, row, column);
}

/* Add the increment row column' of many events. */
static void learn_many(const matrix_t *m, long events, const real *row, const real *column) {
    FOR_TILES(m, learn_many_tile, m, events, row, column)
}
