/* Written by fit.py: edit that. Lowest power first. */
#ifndef INITFAST_COEFFICIENTS_H
#define INITFAST_COEFFICIENTS_H

/* -2 log1p(f) / f in f, for [-0.5, 0.0] */
static const float LOG_F32[] = {
    -0x1.0000000000000p+1f,
    0x1.00001e0000000p+0f,
    -0x1.5543100000000p-1f,
    0x1.01e6640000000p-1f,
    -0x1.688b7e0000000p-2f,
    0x1.5b0c7a0000000p-1f,
    0x1.2d08140000000p+0f,
    0x1.f636260000000p+1f,
    0x1.3ba9f40000000p+2f,
    0x1.bd181a0000000p+1f,
};

/* sin(x pi/2) / x in x*x, for [0.0, 0.25] */
static const float SIN_F32[] = {
    0x1.921fb60000000p+0f,
    -0x1.4abc080000000p-1f,
    0x1.46750a0000000p-4f,
    -0x1.30fe300000000p-8f,
};

/* (cos(x pi/2) - 1) / (x*x) in x*x, for [0.0, 0.25] */
static const float COS_F32[] = {
    -0x1.3bd3cc0000000p+0f,
    0x1.03c16a0000000p-2f,
    -0x1.5580c20000000p-6f,
    0x1.c44e040000000p-11f,
};

/* x / t - 1 in t*t - 1, for [-1.0, 0.0] */
static const float TRUNCATED_NUMERATOR_F32[] = {
    0x1.0000000000000p+0f,
    -0x1.804f940000000p+3f,
    0x1.0fb8460000000p+5f,
    -0x1.40742c0000000p+3f,
    -0x1.b864a20000000p+3f,
    0x1.3ab2900000000p-1f,
};
static const float TRUNCATED_DENOMINATOR_F32[] = {
    0x1.0000000000000p+0f,
    -0x1.edbdc80000000p+3f,
    0x1.170c7e0000000p+6f,
    -0x1.8b103c0000000p+6f,
    0x1.010d280000000p+5f,
};

/* -2 log1p(f) / f in f, for [-0.5, 0.0] */
static const double LOG_F64[] = {
    -0x1.0000000000000p+1,
    0x1.fffffffffff7bp-1,
    -0x1.5555555560bacp-1,
    0x1.fffffff4fb53fp-2,
    -0x1.99999c51f601cp-2,
    0x1.5554eddc0e900p-2,
    -0x1.249c71c16cfc7p-2,
    0x1.fe9a0506115b1p-3,
    -0x1.d9169aa24e209p-3,
    0x1.d879623c31cebp-4,
    -0x1.9ca68c3cb1176p-1,
    -0x1.b2b5a431ca058p+1,
    -0x1.002af745a0412p+4,
    -0x1.b7d9dcdf12c3fp+5,
    -0x1.2a98b00a2ef60p+7,
    -0x1.36f6e557868fep+8,
    -0x1.eaf9b8aa1467ap+8,
    -0x1.1bc2834c69e0bp+9,
    -0x1.c72acc55573efp+8,
    -0x1.c5e4039f9750fp+7,
    -0x1.adcb0519b43aep+5,
};

/* sin(x pi/2) / x in x*x, for [0.0, 0.25] */
static const double SIN_F64[] = {
    0x1.921fb54442d18p+0,
    -0x1.4abbce625bdb5p-1,
    0x1.466bc6774abf9p-4,
    -0x1.32d2ccd177985p-8,
    0x1.507819db6d6e7p-13,
    -0x1.e2e3220e9f026p-19,
    0x1.d034976106775p-25,
    0x1.531910c311dbdp-29,
};

/* (cos(x pi/2) - 1) / (x*x) in x*x, for [0.0, 0.25] */
static const double COS_F64[] = {
    -0x1.3bd3cc9be45dep+0,
    0x1.03c1f081b592dp-2,
    -0x1.55d3c7e379758p-6,
    0x1.e1f505b1cd60ep-11,
    -0x1.a6d0dc71d0451p-16,
    0x1.f859591803abcp-22,
    -0x1.67730e3d0272dp-29,
    -0x1.15cd40f3c0d9bp-28,
};

/* x / t - 1 in t*t - 1, for [-1.0, 0.0] */
static const double TRUNCATED_NUMERATOR_F64[] = {
    0x1.0000000000000p+0,
    -0x1.04c420ac3ad76p+5,
    0x1.a3df5a320e39ap+8,
    -0x1.54eb9834ae7f2p+11,
    0x1.2713cf5c5b851p+13,
    -0x1.066df1d02b02bp+14,
    0x1.8e476fd74c8adp+13,
    -0x1.24f88549047e6p+8,
    -0x1.c524cca2d3eb5p+11,
    0x1.1210c35e0f97ep+10,
    -0x1.e68593c446665p+5,
};
static const double TRUNCATED_DENOMINATOR_F64[] = {
    0x1.0000000000000p+0,
    -0x1.201fb6a215bedp+5,
    0x1.070879368c509p+9,
    -0x1.f76a12e62a505p+11,
    0x1.113463a175a8cp+14,
    -0x1.558ac1920847fp+15,
    0x1.e08fd8ab5b905p+15,
    -0x1.66d7d69b03baep+15,
    0x1.fef93c332a691p+13,
    -0x1.1bbea3e0b3351p+11,
    0x1.333214169bb70p+6,
};

/* quantile(1/2 + c) / c in c*c, for [0.0, 0.180625] */
static const double CENTRAL_NUMERATOR_F64[] = {
    0x1.40d931ff62706p+1,
    -0x1.4c2e0671bf4eap+5,
    0x1.1794848eadb1cp+8,
    -0x1.e8d4f6b4e93c9p+9,
    0x1.d4bed9e96bb76p+10,
    -0x1.da286dd6d382ep+10,
    0x1.af47438a04c32p+9,
    -0x1.9570410fffe61p+6,
    -0x1.287ba9436799fp+2,
};
static const double CENTRAL_DENOMINATOR_F64[] = {
    0x1.0000000000000p+0,
    -0x1.19cbd939b07a5p+4,
    0x1.feb5345e9da70p+6,
    -0x1.e96ceaeb5c11bp+8,
    0x1.0874ec586e25ap+10,
    -0x1.3c281d842a0c9p+10,
    0x1.7739062f62e0bp+9,
    -0x1.41e0592c7dd11p+7,
};

/* upper quantile of exp(-r*r/2) in r, for [2.2, 10.6] */
static const double NEAR_TAIL_NUMERATOR_F64[] = {
    -0x1.cd4b033771aeep+1,
    -0x1.d3e440b932b14p+4,
    -0x1.19b6360f4dbc4p+5,
    0x1.10be2d58a0710p+3,
    0x1.5821eba1a1564p+4,
    0x1.4af0d6b6bb41ap+3,
    0x1.5539c95fdf5aap+1,
    0x1.54504aeb17addp-2,
    0x1.02ea789aee44dp-6,
    0x1.a71bffbaf44efp-13,
};
static const double NEAR_TAIL_DENOMINATOR_F64[] = {
    0x1.0000000000000p+0,
    0x1.a54a80d577e4ep+3,
    0x1.0d9a3ba42b7cfp+5,
    0x1.cd6538ac87a90p+4,
    0x1.6fde6af7a38aep+3,
    0x1.5e67e1bb82e0fp+1,
    0x1.5597a8e0a9941p-2,
    0x1.02efcaf527475p-6,
    0x1.a71a5cd88366ap-13,
};

/* upper quantile of exp(-r*r/2) in r, for [4.5, 40.5] */
static const double FAR_TAIL_NUMERATOR_F64[] = {
    -0x1.90a6cf947d2e4p+1,
    -0x1.ec9f2de9acc12p+2,
    0x1.2246d6c000bb5p+0,
    0x1.12f7bc7066102p+2,
    0x1.8c668e86279bfp+0,
    0x1.02921068ffdb8p-2,
    0x1.6800b76cc6296p-6,
    0x1.d8c6f8393979cp-11,
    0x1.de2953d4e5753p-17,
    0x1.0664f1cbf2ba2p-24,
};
static const double FAR_TAIL_DENOMINATOR_F64[] = {
    0x1.0000000000000p+0,
    0x1.4e6781ca9b915p+2,
    0x1.459c74418bcf1p+2,
    0x1.a1655269dfe75p+0,
    0x1.06c70bb60e61fp-2,
    0x1.69515947033e0p-6,
    0x1.d902a77ba90fbp-11,
    0x1.de2a703380256p-17,
    0x1.0664d47b99d8fp-24,
};

#endif
