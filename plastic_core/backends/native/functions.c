/* The functions that rules may call, elementwise.

Those in single precision that every network needs (exp, and through it softplus, tanh and the
sigmoid) are written without a branch, so that the compiler can run a whole vector of them; they
are good to 2 units in the last place. The others call the C library. */

#ifdef DOUBLE

INLINE real exp_(real x) { return exp(x); }
INLINE real exp_of_negative(real x) { return exp(x); }
INLINE real tanh_(real x) { return tanh(x); }
INLINE real log1p_of_fraction(real v) { return log1p(v); }
#define CALL(name) name

#else

INLINE real power_of_two(uint32_t exponent) {
    const uint32_t bits = (exponent + 127) << 23;
    real value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* exp(x) = 2^k exp(r) with |r| <= log(2)/2, for x from -87.33 on. Polynomials are added up in pairs,
so that fewer steps wait for each other. */
INLINE real exp_of_rest(real x, uint32_t *k) {
    /* adding 1.5 * 2^23 rounds to an integer, which then stands in the lowest bits */
    const real shifted = x * (real)1.44269504 + (real)12582912;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    *k = bits - 0x4b400000u;
    const real whole = shifted - (real)12582912;
    const real r = (x - whole * (real)0.693359375) + whole * (real)2.12194440e-4, q = r * r;
    const real a = (real)1.9875691500e-4 * r + (real)1.3981999507e-3;
    const real b = (real)8.3334519073e-3 * r + (real)4.1665795894e-2;
    const real c = (real)1.6666665459e-1 * r + (real)5.0000001201e-1;
    return ((a * q + b) * q + c) * q + (r + 1);
}

/* Results below 2^-126 are 0. */
INLINE real exp_(real x) {
    uint32_t k;
    x = x > 89 ? 89 : x;
    const real rest = exp_of_rest(x < (real)-87.33 ? (real)-87.33 : x, &k);
    /* in two halves, so that neither leaves the range of a power of two */
    const uint32_t half = (uint32_t)((int32_t)k >> 1);
    const real value = rest * power_of_two(half) * power_of_two(k - half);
    return x < (real)-87.33 ? 0 : value;
}

/* The same for x up to 0, at least 2^-126. */
INLINE real exp_of_negative(real x) {
    uint32_t k;
    const real rest = exp_of_rest(x < (real)-87.33 ? (real)-87.33 : x, &k);
    return rest * power_of_two(k);
}

/* log(1 + v) for v from 0 to 1, as 2 atanh(v / (2 + v)). The square must not underflow: numbers
below the normal range take a hundred times as long. */
INLINE real log1p_of_fraction(real v) {
    const real s = v / (2 + v), squared = s < (real)1e-18 ? (real)1e-18 : s;
    const real q = squared * squared, qq = q * q, twice = 2 * s;
    const real a = (real)(1.0 / 13) * q + (real)(1.0 / 11);
    const real b = (real)(1.0 / 9) * q + (real)(1.0 / 7);
    const real c = (real)(1.0 / 5) * q + (real)(1.0 / 3);
    return twice + twice * q * ((a * qq + b) * qq + c);
}

INLINE real tanh_(real x) {
    const real size = x < 0 ? -x : x, e = exp_of_negative(-2 * size), q = x * x;
    const real far = (1 - e) / (1 + e);
    real p = (real)-5.70498872745e-3;
    p = p * q + (real)2.06390887954e-2;
    p = p * q - (real)5.37397155531e-2;
    p = p * q + (real)1.33314422036e-1;
    p = p * q - (real)3.33332819422e-1;
    const real near = x + x * q * p;
    return size < (real)0.625 ? near : (x < 0 ? -far : far);
}

#define CALL(name) name##f

#endif

INLINE real sigmoid_(real x) { return 1 / (1 + exp_(-x)); }
INLINE real relu_(real x) { return x < 0 ? 0 : x; }
INLINE real maximum_(real a, real b) { return a > b || a != a ? a : b; }
INLINE real minimum_(real a, real b) { return a < b || a != a ? a : b; }
INLINE real lerp_(real a, real b, real weight) { /* from the nearer end, as torch does */
    return CALL(fabs)(weight) < (real)0.5 ? a + weight * (b - a) : b - (b - a) * (1 - weight);
}
INLINE real sign_(real x) { return (real)(x > 0) - (real)(x < 0); }

/* log(1 + exp(beta z)) / beta, which is exact for large beta z too. */
INLINE real softplus_(real z, real beta) {
    const real t = beta * z, size = t < 0 ? -t : t;
    return ((t < 0 ? 0 : t) + log1p_of_fraction(exp_of_negative(-size))) * (1 / beta);
}

static void softmax(const real *z, real *y, long n) {
    real most = z[0], total = 0;
    for (long i = 1; i < n; i++) most = z[i] > most ? z[i] : most;
    SIMD for (long i = 0; i < padded(n); i++) y[i] = exp_(z[i] - most);
    for (long i = 0; i < n; i++) total += y[i];
    for (long i = 0; i < n; i++) y[i] /= total;
}
