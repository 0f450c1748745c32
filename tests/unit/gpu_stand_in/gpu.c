/* A stand-in for libcuda, NVML, NVRTC and NCCL, for tests of the probe's own logic. It computes in
 * the machine's memory what the probe's kernel would, and breaks as GPU_STAND_IN_FAULTS says. What
 * passes here says nothing of any GPU. */

#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GIBIBYTE (1ull << 30)
#define RESERVED (300ull << 20)

static int has(const char *fault)
{
    const char *faults = getenv("GPU_STAND_IN_FAULTS");
    return faults && strstr(faults, fault) != NULL;
}

static int number(const char *name, int otherwise)
{
    const char *value = getenv(name);
    return value ? atoi(value) : otherwise;
}

/* The GPU behind a device: CUDA_VISIBLE_DEVICES names numbers of GPUs. */

static int physical(int device)
{
    const char *named = getenv("CUDA_VISIBLE_DEVICES");
    for (; named && device > 0; device--)
        named = strchr(named, ',') ? strchr(named, ',') + 1 : "";
    return named ? atoi(named) : device;
}

static int devices(void)
{
    const char *named = getenv("CUDA_VISIBLE_DEVICES");
    int all = number("GPU_STAND_IN_DEVICES", 1), shown = named && *named;
    for (; shown && *named; named++)
        shown += *named == ',';
    return named && shown < all ? shown : all;
}

/* What each process has taken stands in a file with its number as the name. */

static void path_of(char *path, size_t size, const char *name)
{
    snprintf(path, size, "%s/%s", getenv("GPU_STAND_IN_STATE"), name);
}

static unsigned long long read_file(const char *name)
{
    char path[4096];
    unsigned long long bytes = 0;
    path_of(path, sizeof path, name);
    FILE *file = fopen(path, "r");
    if (file) {
        if (fscanf(file, "%llu", &bytes) != 1)
            bytes = 0;
        fclose(file);
    }
    return bytes;
}

static void take(long long bytes)
{
    char path[4096], name[32];
    snprintf(name, sizeof name, "%d", getpid());
    unsigned long long before = read_file(name);
    path_of(path, sizeof path, name);
    FILE *file = fopen(path, "w");
    fprintf(file, "%llu", before + bytes);
    fclose(file);
}

static unsigned long long taken(int *others)
{
    unsigned long long sum = 0;
    DIR *folder = opendir(getenv("GPU_STAND_IN_STATE"));
    for (struct dirent *entry; (entry = readdir(folder));) {
        int owner = atoi(entry->d_name);
        if (owner > 0 && (has("keeps-after-kill") || kill(owner, 0) == 0)) {
            sum += read_file(entry->d_name);
            *others += owner != getpid();
        }
    }
    closedir(folder);
    return sum;
}

/* CUDA's driver */

int cuInit(unsigned int flags)
{
    return has("no-device") ? 100 : flags;
}

int cuGetErrorName(int error, const char **name)
{
    *name = error == 100 ? "CUDA_ERROR_NO_DEVICE" : error == 222 ? "CUDA_ERROR_UNSUPPORTED_PTX_VERSION" : "CUDA_ERROR";
    return 0;
}

int cuGetErrorString(int error, const char **text)
{
    *text = "as the test wants it";
    return 0;
}

int cuDriverGetVersion(int *version)
{
    *version = 12040;
    return 0;
}

int cuDeviceGetCount(int *count)
{
    *count = devices();
    return 0;
}

int cuDeviceGet(int *device, int index)
{
    *device = index;
    return 0;
}

int cuDeviceGetName(char *name, int size, int device)
{
    snprintf(name, size, "Stand-in");
    return 0;
}

int cuDeviceGetUuid_v2(unsigned char *identifier, int device)
{
    memset(identifier, physical(device) + 1, 16);
    return 0;
}

int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    *value = attribute == 75 ? 9 : attribute == 20 && has("exclusive") ? 3 : 0;
    return 0;
}

int cuDeviceTotalMem_v2(size_t *bytes, int device)
{
    *bytes = has("no-memory") ? 0 : 16 * GIBIBYTE;
    return 0;
}

int cuDevicePrimaryCtxRetain(void **context, int device)
{
    int others = 0;
    taken(&others);
    if (others && has("one-process"))
        return 46;
    if (others && has("hangs-beside"))
        pause();
    take(RESERVED);
    *context = (void *)(uintptr_t)(device + 1);
    return 0;
}

int cuDevicePrimaryCtxRelease_v2(int device)
{
    take(-(long long)RESERVED);
    return 0;
}

int cuCtxSetCurrent(void *context)
{
    return context ? 0 : 201;
}

int cuCtxSynchronize(void)
{
    return 0;
}

int cuMemGetInfo_v2(size_t *available, size_t *total)
{
    int others = 0;
    *total = 16 * GIBIBYTE;
    *available = *total - taken(&others);
    return 0;
}

/* The size stands before what is handed out. */

int cuMemAlloc_v2(unsigned long long *address, size_t size)
{
    size_t *block = calloc(1, size + sizeof(size_t));
    *block = size;
    take(size);
    *address = (uintptr_t)(block + 1);
    return 0;
}

int cuMemFree_v2(unsigned long long address)
{
    size_t *block = (size_t *)(uintptr_t)address - 1;
    if (!has("keeps-after-free"))
        take(-(long long)*block);
    free(block);
    return 0;
}

int cuMemAllocHost_v2(void **pointer, size_t size)
{
    *pointer = malloc(size);
    return 0;
}

int cuMemFreeHost(void *pointer)
{
    free(pointer);
    return 0;
}

int cuMemcpyHtoD_v2(unsigned long long address, const void *source, size_t size)
{
    memcpy((void *)(uintptr_t)address, source, size);
    return 0;
}

int cuMemcpyDtoH_v2(void *target, unsigned long long address, size_t size)
{
    memcpy(target, (void *)(uintptr_t)address, size);
    if (has("wrong-copy"))
        ((char *)target)[size - 1] ^= 1;
    return 0;
}

int cuModuleLoadData(void **module, const void *code)
{
    *module = (void *)1;
    return has("no-load") ? 222 : 0;
}

int cuModuleUnload(void *module)
{
    return 0;
}

int cuModuleGetFunction(void **function, void *module, const char *name)
{
    *function = (void *)1;
    return strcmp(name, "twice_plus_one") ? 500 : 0;
}

int cuLaunchKernel(void *function, unsigned int blocks, unsigned int y, unsigned int z,
                   unsigned int threads, unsigned int ty, unsigned int tz, unsigned int shared,
                   void *stream, void **parameters, void **extra)
{
    const float *from = (void *)(uintptr_t)*(unsigned long long *)parameters[0];
    float *to = (void *)(uintptr_t)*(unsigned long long *)parameters[1];
    unsigned int count = *(unsigned int *)parameters[2];
    for (unsigned int index = 0; index < count && index < blocks * threads; index++)
        to[index] = from[index] * 2 + 1;
    if (has("wrong-result"))
        to[count - 1] += 2;
    return 0;
}

/* NVML */

int nvmlInit_v2(void)
{
    return has("no-nvml") ? 18 : 0;
}

const char *nvmlErrorString(int status)
{
    return status == 18 ? "Driver/library version mismatch" : "as the test wants it";
}

int nvmlSystemGetDriverVersion(char *text, unsigned int size)
{
    snprintf(text, size, "550.54.14");
    return 0;
}

int nvmlSystemGetCudaDriverVersion_v2(int *version)
{
    *version = 12040;
    return 0;
}

int nvmlDeviceGetCount_v2(unsigned int *count)
{
    *count = number("GPU_STAND_IN_GPUS", devices());
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **handle)
{
    *handle = (void *)(uintptr_t)(index + 1);
    return 0;
}

int nvmlDeviceGetHandleByUUID(const char *identifier, void **handle)
{
    if (strncmp(identifier, has("parts") ? "MIG-01" : "GPU-0", has("parts") ? 6 : 5))
        return 6;
    *handle = (void *)1;
    return 0;
}

int nvmlDeviceGetUUID(void *handle, char *text, unsigned int size)
{
    unsigned int byte = (uintptr_t)handle;
    unsigned int word = byte << 24 | byte << 16 | byte << 8 | byte, half = word >> 16;
    snprintf(text, size, "GPU-%08x-%04x-%04x-%04x-%08x%04x", word, half, half, half, word, half);
    return 0;
}

int nvmlDeviceGetName(void *handle, char *text, unsigned int size)
{
    snprintf(text, size, has("other-name") ? "Another" : "Stand-in");
    return 0;
}

int nvmlDeviceIsMigDeviceHandle(void *handle, unsigned int *answer)
{
    *answer = has("parts");
    return 0;
}

int nvmlDeviceGetMigMode(void *handle, unsigned int *mode, unsigned int *pending)
{
    *mode = *pending = 1;
    return has("parts") || has("whole") ? 0 : 3;
}

/* NVRTC */

const char *nvrtcGetErrorString(int status)
{
    return status == 6 ? "NVRTC_ERROR_COMPILATION" : "as the test wants it";
}

int nvrtcVersion(int *major, int *minor)
{
    *major = 12;
    *minor = 4;
    return 0;
}

int nvrtcGetNumSupportedArchs(int *count)
{
    *count = 2;
    return 0;
}

int nvrtcGetSupportedArchs(int *architectures)
{
    architectures[0] = has("younger-compiler") ? 100 : 75;
    architectures[1] = has("younger-compiler") ? 120 : has("older-compiler") ? 80 : 90;
    return 0;
}

int nvrtcCreateProgram(void **program, const char *source, const char *name, int headers,
                       const char *const *contents, const char *const *names)
{
    *program = (void *)1;
    return 0;
}

int nvrtcCompileProgram(void *program, int count, const char *const *options)
{
    const char *wanted = has("older-compiler") ? "--gpu-architecture=compute_80"
                                               : "--gpu-architecture=sm_90";
    return has("no-compile") || count != 1 || strcmp(options[0], wanted) ? 6 : 0;
}

static const char log_text[] = "kernel.cu(1): error: the compiler's own words";

int nvrtcGetProgramLogSize(void *program, size_t *size)
{
    *size = sizeof log_text;
    return 0;
}

int nvrtcGetProgramLog(void *program, char *text)
{
    memcpy(text, log_text, sizeof log_text);
    return 0;
}

int nvrtcGetCUBINSize(void *program, size_t *size)
{
    *size = 8;
    return 0;
}

int nvrtcGetCUBIN(void *program, char *code)
{
    memset(code, 0, 8);
    return 0;
}

int nvrtcGetPTXSize(void *program, size_t *size)
{
    return nvrtcGetCUBINSize(program, size);
}

int nvrtcGetPTX(void *program, char *code)
{
    return nvrtcGetCUBIN(program, code);
}

int nvrtcDestroyProgram(void **program)
{
    return 0;
}

/* NCCL */

#define MOST 8

static struct {
    float *to;
    size_t count;
} asked[MOST];
static int ranks;

const char *ncclGetErrorString(int status)
{
    return status == 2 ? "unhandled system error" : "as the test wants it";
}

int ncclGetVersion(int *version)
{
    *version = 22105;
    return 0;
}

int ncclCommInitAll(void **communicators, int count, const int *numbers)
{
    for (int rank = 0; rank < count; rank++)
        communicators[rank] = (void *)(uintptr_t)(rank + 1);
    ranks = count;
    return has("no-nccl") ? 2 : 0;
}

int ncclGroupStart(void)
{
    return 0;
}

int ncclAllReduce(const void *from, void *to, size_t count, int type, int operation,
                  void *communicator, void *stream)
{
    int rank = (int)(uintptr_t)communicator - 1;
    asked[rank].to = to;
    asked[rank].count = count;
    return type == 7 && operation == 0 && from == to ? 0 : 4;
}

int ncclGroupEnd(void)
{
    for (size_t index = 0; index < asked[0].count; index++) {
        float sum = 0;
        for (int rank = 0; rank < ranks; rank++)
            sum += asked[rank].to[index];
        for (int rank = 0; rank < ranks; rank++)
            asked[rank].to[index] = sum + (has("wrong-sum") && rank == ranks - 1);
    }
    return 0;
}

int ncclCommDestroy(void *communicator)
{
    return 0;
}
