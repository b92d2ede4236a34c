// The clock around llm.c's train_gpt2.c (fp32, OpenMP): compiled with -DLLMC='"DIR/train_gpt2.c"'.
// Its model, forward, backward and AdamW are used as they are; weights are drawn here instead of
// read from a checkpoint, and the clipping that llm.c's CPU program lacks is added. Arguments and
// output as gpt2.py says, except that weight decay is 0 (its AdamW has no groups).
#define TESTING
#include LLMC

#include <omp.h>
#include <string.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static float normal(unsigned long* state) {  // the sum of 12 uniform numbers
    float sum = -6.0f;
    for (int i = 0; i < 12; i++) {
        *state = *state * 6364136223846793005ul + 1442695040888963407ul;
        sum += (*state >> 40) / 16777216.0f;
    }
    return sum;
}

static void build(GPT2* model, GPT2Config config) {
    memset(model, 0, sizeof *model);
    model->config = config;
    fill_in_parameter_sizes(model->param_sizes, config);
    for (int i = 0; i < NUM_PARAMETER_TENSORS; i++) model->num_parameters += model->param_sizes[i];
    model->params_memory = malloc_and_point_parameters(&model->params, model->param_sizes);
    // wte wpe ln1w ln1b qkvw qkvb attprojw attprojb ln2w ln2b fcw fcb fcprojw fcprojb lnfw lnfb
    char const* kind = "mmgzmzrzgzmzrzgz";  // matrix, residual matrix, gain, zero
    unsigned long state = 1;
    float* weight = model->params_memory;
    for (int i = 0; i < NUM_PARAMETER_TENSORS; i++) {
        float std = kind[i] == 'r' ? 0.02f / sqrtf(2.0f * config.num_layers) : 0.02f;
        for (size_t n = 0; n < model->param_sizes[i]; n++)
            *weight++ = kind[i] == 'g' ? 1.0f : kind[i] == 'z' ? 0.0f : std * normal(&state);
    }
    model->mean_loss = -1.0f;
}

static void clip(GPT2* model) {
    double squares = 0;
    long count = (long)model->num_parameters;
    float* gradient = model->grads_memory;
    #pragma omp parallel for reduction(+ : squares)
    for (long i = 0; i < count; i++) squares += (double)gradient[i] * gradient[i];
    float scale = fmin(1.0, 1.0 / (sqrt(squares) + 1e-6));
    #pragma omp parallel for
    for (long i = 0; i < count; i++) gradient[i] *= scale;
}

int main(int argc, char** argv) {
    char const *data = "", *size = "gpt2";
    int warmup = 1, steps = 2, memory_steps = 1;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--data")) data = argv[i + 1];
        else if (!strcmp(argv[i], "--size")) size = argv[i + 1];
        else if (!strcmp(argv[i], "--warmup")) warmup = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--steps")) steps = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--memory-steps")) memory_steps = atoi(argv[i + 1]);
        else return fprintf(stderr, "llmc: unknown argument %s\n", argv[i]), 1;
    }
    int tiny = !strcmp(size, "tiny");
    int B = 4, T = tiny ? 32 : 256;
    // positions, vocabulary, padded vocabulary, layers, heads, width
    GPT2Config config = {T, 50304, 50304, 12, 12, 768};
    if (tiny) config = (GPT2Config){T, 512, 512, 2, 4, 128};
    GPT2 model;
    build(&model, config);

    uint16_t* stream = mallocCheck((B * T + 1) * sizeof(uint16_t));
    FILE* file = fopenCheck(data, "rb");
    freadCheck(stream, sizeof(uint16_t), B * T + 1, file);
    fcloseCheck(file);
    int* tokens = mallocCheck((B * T + 1) * sizeof(int));
    for (int i = 0; i <= B * T; i++) tokens[i] = stream[i];

    double* seconds = mallocCheck((steps + 1) * sizeof(double));
    float loss = 0;
    for (int step = 1; step <= warmup + steps + memory_steps; step++) {
        double begin = now();
        gpt2_forward(&model, tokens, tokens + 1, B, T);
        gpt2_zero_grad(&model);
        gpt2_backward(&model);
        clip(&model);
        gpt2_update(&model, 3e-4f, 0.9f, 0.999f, 1e-8f, 0.0f, step);
        int timed = step - warmup - 1;
        if (timed < 0 || timed >= steps) continue;
        seconds[timed] = now() - begin;
        loss = model.mean_loss;
        if (timed + 1 < steps) continue;
        printf("{\"ranks\": 1, \"threads\": %d, \"seconds\": [", omp_get_max_threads());
        for (int i = 0; i < steps; i++) printf("%s%.6f", i ? ", " : "", seconds[i]);
        printf("], \"loss\": %.6f}\n", loss);
        fflush(stdout);
    }
    return 0;
}
