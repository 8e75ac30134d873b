/* SPDX-License-Identifier: Apache-2.0 */
/* Products shared among threads: the same bits for any number of them, and what a host's executor gets to do. */
#include <math.h>

#include "base/parallel.h"
#include "kernel/product.h"
#include "test.h"

typedef enum { GEMM_NN, GEMM_NT, GEMM_TN, LAYER, LAYER_BACK, ADAM_TN, N_OPERATIONS } operation;

enum { GAP = 3, N_CONTEXTS = 4 };
static const uint32_t N_THREADS[N_CONTEXTS] = {1, 2, 3, 7};
static ml_context *contexts[N_CONTEXTS];
static const ml__adam STEP = {0.01, 0.9, 0.999, 1e-8, 0.1};

#define R float
#define NAME(name) name##_f32
#define CREW ml__crew_f32
#define MEMBER f32
#define PRODUCT(name) ML__PRODUCT_F32(name)
#include "product_tmpl.h"
#undef R
#undef NAME
#undef CREW
#undef MEMBER
#undef PRODUCT

#define R double
#define NAME(name) name##_f64
#define CREW ml__crew_f64
#define MEMBER f64
#define PRODUCT(name) ML__PRODUCT_F64(name)
#include "product_tmpl.h"

/* A call within the limit, one just beyond it, layers of an image classifier, sides that are 1, short or long, and whole
 * tiles and one column more. */
static const size_t SIZES[][3] = {{32, 64, 20},   {128, 128, 129}, {128, 512, 784}, {129, 333, 71},
                                  {1, 3000, 701}, {3000, 1, 701},  {20, 30, 5000},  {5000, 17, 31},
                                  {31, 5000, 17}, {700, 300, 20},  {256, 65, 128},  {256, 129, 256}};

/* On the table in use; the tests run on each. */
TEST(product, any_number_of_threads_gives_the_same_bits)
{
    const ml__kernels *kernels = ml__kernels_best();

    for (size_t t = 0; t < N_CONTEXTS; t++)
        CHECK_OK(ml_context_create(
            &(ml_context_options){.struct_size = sizeof(ml_context_options), .n_threads = N_THREADS[t]}, &contexts[t]));
    for (size_t s = 0; s < sizeof SIZES / sizeof *SIZES; s++)
        for (operation op = GEMM_NN; op < N_OPERATIONS; op++) {
            check_product_f32(kernels, op, SIZES[s]);
            if (s != 2)
                check_product_f64(kernels, op, SIZES[s]);
        }
    for (size_t t = 0; t < N_CONTEXTS; t++)
        ml_context_free(contexts[t]);
}

/* A single element has more terms than a tile should. */
TEST(product, more_terms_than_a_tile_has_work)
{
    const ml__crew_f32 crew = {.k = &ml__kernels_best()->f32};
    const size_t k = (size_t)1 << 21;
    float *ones = malloc(3 * k * sizeof *ones), C[3];

    CHECK(ones);
    for (size_t i = 0; i < 3 * k; i++)
        ones[i] = 1;
    CHECK_OK(ml__product_gemm_tn_f32(&crew, 1, 3, k, ones, 1, ones, 3, 0, C, 3));
    CHECK(C[0] == (float)k && C[1] == (float)k && C[2] == (float)k);
    free(ones);
}

TEST(product, sizes_of_zero_do_nothing)
{
    const ml__crew_f32 crew = {.k = &ml__kernels_best()->f32};
    const float nothing[1] = {0};
    float C[2] = {7, 7};

    CHECK_OK(ml__product_gemm_nn_f32(&crew, 0, 2, 3, nothing, 3, nothing, 2, 0, C, 2));
    CHECK_OK(ml__product_gemm_nn_f32(&crew, 2, 0, 3, nothing, 3, nothing, 0, 0, C, 0));
    CHECK(C[0] == 7 && C[1] == 7);
    CHECK_OK(ml__product_gemm_nn_f32(&crew, 1, 2, 0, nothing, 0, nothing, 2, 0, C, 2));
    CHECK(C[0] == 0 && C[1] == 0);
}

/* ---- on a host's executor ---- */

typedef struct {
    size_t n_runs, n_tasks;
    int32_t code; /* what run() returns */
} host;

static int32_t run_backwards(void *user, size_t n_tasks, void (*task)(void *, size_t), void *argument)
{
    host *h = user;

    h->n_runs++;
    h->n_tasks = n_tasks;
    for (size_t i = n_tasks; i-- > 0;)
        task(argument, i);
    return h->code;
}

static ml_context *on_host(host *h)
{
    const ml_context_options options = {.struct_size = sizeof options, .executor = {run_backwards, h}};
    ml_context *context;

    CHECK_OK(ml_context_create(&options, &context));
    return context;
}

TEST(product, a_small_product_is_not_handed_out)
{
    host h = {0};
    ml_context *context = on_host(&h);
    const ml__crew_f32 crew = {&ml__kernels_best()->f32, context};
    const size_t small[] = {128, 128, 127}, large[] = {128, 128, 128};
    operands_f32 o = make_operands_f32(LAYER, large);

    CHECK_OK(share_f32(&crew, LAYER, small, &o));
    CHECK(h.n_runs == 0);
    CHECK_OK(share_f32(&crew, LAYER, large, &o));
    CHECK(h.n_runs == 1 && h.n_tasks > 1);
    free_operands_f32(&o);
    ml_context_free(context);
}

TEST(product, tiles_cover_the_result_in_any_order)
{
    host h = {0};
    ml_context *context = on_host(&h);
    const ml__kernels *table = ml__kernels_best();

    for (size_t s = 0; s < sizeof SIZES / sizeof *SIZES; s++) {
        operands_f32 host_s = make_operands_f32(ADAM_TN, SIZES[s]), own = make_operands_f32(ADAM_TN, SIZES[s]);

        CHECK_OK(share_f32(&(ml__crew_f32){&table->f32, context}, ADAM_TN, SIZES[s], &host_s));
        CHECK_OK(share_f32(&(ml__crew_f32){&table->f32, NULL}, ADAM_TN, SIZES[s], &own));
        check_same_f32(&own, &host_s, false);
        free_operands_f32(&host_s);
        free_operands_f32(&own);
    }
    ml_context_free(context);
}

TEST(product, a_failing_executor_is_reported)
{
    host h = {.code = 5};
    ml_context *context = on_host(&h);
    const ml__crew_f32 crew = {&ml__kernels_best()->f32, context};
    const size_t size[] = {128, 128, 128};

    for (operation op = GEMM_NN; op < N_OPERATIONS; op++) {
        operands_f32 o = make_operands_f32(op, size);

        CHECK_FAILS(share_f32(&crew, op, size, &o), ML_E_EXECUTOR, "the executor returned 5");
        free_operands_f32(&o);
    }
    ml_context_free(context);
}
