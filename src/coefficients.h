/* Coefficients of the stream, lowest power first. fit.py writes this file. */
// clang-format off
#ifndef INITFAST_COEFFICIENTS_H
#define INITFAST_COEFFICIENTS_H

/* -2 ln(1 + g/2) / g in g, for [-1.0, 0.0] */
static const float LOG_F32[] = {
    -0x1.0000000000000p+0f,
    0x1.00001e0000000p-2f,
    -0x1.5543100000000p-4f,
    0x1.01e6640000000p-5f,
    -0x1.688b7e0000000p-7f,
    0x1.5b0c7a0000000p-7f,
    0x1.2d08140000000p-7f,
    0x1.f636260000000p-7f,
    0x1.3ba9f40000000p-7f,
    0x1.bd181a0000000p-9f,
};

/* sin(x pi/2) / x - HALF_PI_F32 in x*x, for [0.0, 0.25] */
static const float SIN_F32[] = {
    -0x1.a31c2a0000000p-25f,
    -0x1.4abbba0000000p-1f,
    0x1.465eec0000000p-4f,
    -0x1.2da1e40000000p-8f,
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

/* -2 ln(1 + g/2) / g in g, for [-1.0, 0.0] */
static const double LOG_F64[] = {
    -0x1.0000000000000p+0,
    0x1.fffffffffff7bp-3,
    -0x1.5555555560bacp-4,
    0x1.fffffff4fb53fp-6,
    -0x1.99999c51f601cp-7,
    0x1.5554eddc0e900p-8,
    -0x1.249c71c16cfc7p-9,
    0x1.fe9a0506115b1p-11,
    -0x1.d9169aa24e209p-12,
    0x1.d879623c31cebp-14,
    -0x1.9ca68c3cb1176p-12,
    -0x1.b2b5a431ca058p-11,
    -0x1.002af745a0412p-9,
    -0x1.b7d9dcdf12c3fp-9,
    -0x1.2a98b00a2ef60p-8,
    -0x1.36f6e557868fep-8,
    -0x1.eaf9b8aa1467ap-9,
    -0x1.1bc2834c69e0bp-9,
    -0x1.c72acc55573efp-11,
    -0x1.c5e4039f9750fp-13,
    -0x1.adcb0519b43aep-16,
};

/* sin(x pi/2) / x - HALF_PI_F64 in x*x, for [0.0, 0.25] */
static const double SIN_F64[] = {
    0x1.1a5ee82756c38p-54,
    -0x1.4abbce625be53p-1,
    0x1.466bc6775ab77p-4,
    -0x1.32d2cce63a144p-8,
    0x1.5078349be2152p-13,
    -0x1.e3076bb921b92p-19,
    0x1.e90652cf44c3fp-25,
    -0x1.730bec817cc73p-31,
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

/* quantile(1/2 + c) / c in 0.425^2 - c*c, for [0.0, 0.180625] */
static const double CENTRAL_NUMERATOR_F64[] = {
    0x1.b18d91e9eef76p+1,
    0x1.1ce6ea2c9cbe7p+7,
    0x1.1f93007f6fc41p+11,
    0x1.18bacfcff7c58p+14,
    0x1.127d3e66b06d7p+16,
    0x1.f795dff28b8f0p+16,
    0x1.6405b16886694p+16,
    0x1.a57cf0358512cp+13,
    -0x1.21205886255f9p+9,
};
static const double CENTRAL_DENOMINATOR_F64[] = {
    0x1.0000000000000p+0,
    0x1.687e8290b5c96p+5,
    0x1.8c4a3af7e289bp+9,
    0x1.af4a0602b7e73p+12,
    0x1.e7239c35ac962p+14,
    0x1.11d3bb93ca064p+16,
    0x1.0ab0f42d7eaaap+16,
    0x1.39e33a97d3ae6p+14,
};

/* upper quantile of exp(-r*r/2) in r - 2.25, for [-0.01, 8.35] */
static const double NEAR_TAIL_NUMERATOR_F64[] = {
    0x1.68755b078ad70p+0,
    0x1.b3104e0963bf8p+1,
    0x1.9cd335bb2dd60p+1,
    0x1.9e8aef044b040p+0,
    0x1.ec2555fb7d944p-2,
    0x1.678f8957b6b7fp-4,
    0x1.3f5d03e19e7c3p-7,
    0x1.409f230b44623p-11,
    0x1.3589d23e1540ap-16,
    0x1.8e36a96156750p-23,
};
static const double NEAR_TAIL_DENOMINATOR_F64[] = {
    0x1.0000000000000p+0,
    0x1.8e22226201892p+0,
    0x1.ffa1b88210276p-1,
    0x1.62c6f36623655p-2,
    0x1.217e4a3f559a8p-4,
    0x1.17f8a2e828337p-7,
    0x1.2bf627f7fd5efp-11,
    0x1.2e8e9ad8d1c31p-16,
    0x1.8e3526e4d6b03p-23,
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
