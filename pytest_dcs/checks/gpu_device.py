"""GPU: what CUDA, the image's framework, NCCL and Spark do on a real GPU, stage by stage.

A stage blocks those that would fail for its reason, so that one fault is one finding. Where there
is no GPU the rules are skipped, and the verdict says that the GPU was not tested.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs.checks._stages import require_stage
from pytest_dcs.rules import rule

if TYPE_CHECKING:
    from pytest_dcs.stages import Smoke

GPU_README = "https://github.com/databricks/containers/blob/master/ubuntu/gpu/README.md"
GPU_PAGE = "https://docs.databricks.com/aws/en/compute/gpu"
DRIVER_API = "https://docs.nvidia.com/cuda/cuda-driver-api/"
VARIABLES = (
    "https://docs.nvidia.com/cuda/cuda-programming-guide/05-appendices/environment-variables.html"
)


@rule(
    "GPU030",
    "gpu-driver-answers",
    level="fail",
    effect="disables-feature",
    feature="gpu",
    where="cluster",
    requires=("PY001", "GPU001", "GPU004", "GPU007"),
    sources=(
        GPU_README,
        "https://github.com/mudler/LocalAI/issues/11973",
        "https://github.com/NVIDIA/nvidia-docker/issues/1256",
    ),
)
def test_driver_answers(dcs_gpu_smoke: Smoke) -> None:
    """The node's driver is put into the container, and CUDA and nvidia-smi find it by the loader:
    "ImportError: libcuda.so.1: cannot open shared object file". A copy of it in the image that is
    older than the node's kernel module comes first and fails: "Error 803: system has unsupported
    display driver / cuda driver combination".

    Fix: leave the driver to the node, `RUN apt-get purge -y 'libnvidia-*' 'nvidia-utils-*'
    'cuda-compat-*'`, and `ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility`.
    """
    require_stage(dcs_gpu_smoke, "driver", "libcuda.so.1 and NVML that start and give versions")


@rule(
    "GPU031",
    "gpu-devices-seen",
    level="fail",
    effect="disables-feature",
    feature="gpu",
    where="cluster",
    requires=("GPU030",),
    sources=(VARIABLES, GPU_PAGE),
)
def test_devices_are_seen(dcs_gpu_smoke: Smoke) -> None:
    """CUDA shows what CUDA_VISIBLE_DEVICES names, and nothing behind the first name that it does
    not know: a value that was right on the machine that built the image hides GPUs of the node,
    "no CUDA-capable device is detected". nvidia-smi shows them all the same.

    Fix: remove `ENV CUDA_VISIBLE_DEVICES=…` from the Dockerfile and from the scripts that shells
    read: Spark sets it for each task.
    """
    require_stage(dcs_gpu_smoke, "devices", "as many GPUs as the container was given")


@rule(
    "GPU032",
    "gpu-memory-copies-back",
    level="fail",
    effect="wrong-result",
    feature="gpu",
    where="cluster",
    requires=("GPU031",),
    sources=(
        DRIVER_API,
        "https://github.com/NVIDIA/nvidia-container-toolkit/issues/149",
    ),
)
def test_memory_copies_back(dcs_gpu_smoke: Smoke) -> None:
    """What is copied to each GPU must come back as it was. A driver in the image that fits to the
    node's kernel module in part only starts, and then hangs or fails with the first context or
    copy: "CUDA_ERROR_UNKNOWN".

    Fix: leave the driver to the node: `RUN apt-get purge -y 'libnvidia-*' 'nvidia-utils-*'
    'cuda-compat-*'`.
    """
    require_stage(dcs_gpu_smoke, "memory", "the same bytes from each GPU as were copied to it")


@rule(
    "GPU033",
    "gpu-kernel-computes",
    level="fail",
    effect="wrong-result",
    feature="gpu",
    where="cluster",
    requires=("GPU009", "GPU015", "GPU032"),
    sources=(
        "https://docs.nvidia.com/cuda/nvrtc/",
        "https://docs.nvidia.com/deploy/cuda-compatibility/",
        "https://github.com/databricks/containers/blob/master/ubuntu/gpu/cuda-11.0/README.md",
    ),
)
def test_kernel_computes(dcs_gpu_smoke: Smoke) -> None:
    """Frameworks compile kernels while they run, by the image's NVRTC, or let the driver do it. A
    toolkit that is newer than the node's driver makes code that the driver cannot load: "the
    provided PTX was compiled with an unsupported toolchain"; one that is too old for the GPU knows
    no code for it: "no kernel image is available for execution on the device".

    Fix: take the CUDA that the node's driver has, `FROM nvidia/cuda:12.4.1-runtime-ubuntu22.04`,
    and wheels for the same: `RUN /databricks/python3/bin/pip install nvidia-cuda-nvrtc-cu12`.
    """
    require_stage(dcs_gpu_smoke, "kernel", "a kernel compiled for each GPU, and every result right")


@rule(
    "GPU034",
    "gpu-framework-multiplies",
    level="fail",
    effect="wrong-result",
    feature="gpu",
    where="cluster",
    requires=("GPU016", "GPU017", "GPU018", "GPU033"),
    sources=(
        "https://github.com/tensorflow/tensorflow/issues/66750",
        "https://docs.pytorch.org/docs/stable/notes/cuda.html",
        "https://github.com/gladiaio/gladia/issues/928",
    ),
)
def test_framework_multiplies(dcs_gpu_smoke: Smoke) -> None:
    """A framework that finds no GPU, or not all of its libraries, goes on without a word on the
    processor: "Could not find cuda drivers on your machine, GPU will not be used". The first one
    that the image has, of PyTorch, CuPy, TensorFlow and JAX, must multiply matrices on the GPU, and
    come as close to the true product as its precision allows.

    Fix: install the build for the image's CUDA: `RUN /databricks/python3/bin/pip install torch
    --index-url https://download.pytorch.org/whl/cu124`.
    """
    require_stage(dcs_gpu_smoke, "framework", "a product on the GPU, right within its precision")


@rule(
    "GPU035",
    "gpu-memory-given-back",
    level="advice",
    effect="disables-feature",
    feature="gpu",
    where="cluster",
    requires=("GPU032",),
    sources=(DRIVER_API, "https://docs.nvidia.com/deploy/mps/"),
)
def test_memory_is_given_back(dcs_gpu_smoke: Smoke) -> None:
    """A notebook that is detached and a task that is killed end without a word, and their memory
    must be free for the next: "CUDA out of memory" else comes on a GPU that nobody uses. It is
    advice, because another program on the same GPU could look like this.

    Fix: keep nothing that goes on using the GPU, such as a daemon of NVIDIA's Multi-Process
    Service: `ENV CUDA_MPS_PIPE_DIRECTORY=` must not be in the image.
    """
    require_stage(dcs_gpu_smoke, "release", "all memory free again, also after a kill")


@rule(
    "GPU036",
    "gpu-serves-two-processes",
    level="fail",
    effect="disables-feature",
    feature="gpu",
    where="cluster",
    requires=("GPU033",),
    sources=(GPU_PAGE, "https://docs.nvidia.com/deploy/mps/"),
)
def test_two_processes(dcs_gpu_smoke: Smoke) -> None:
    """Each notebook and each of Spark's Python workers is a process with a context of its own on
    the GPU. Variables of a Multi-Process Service that nobody has started on the node keep the
    second one from it, or both: "CUDA_ERROR_MPS_CONNECTION_FAILED".

    Fix: remove `ENV CUDA_MPS_PIPE_DIRECTORY=…` and what else begins with CUDA_MPS from the
    Dockerfile.
    """
    require_stage(dcs_gpu_smoke, "two-processes", "a second process that uses the GPU meanwhile")


@rule(
    "GPU037",
    "gpus-add-up",
    level="fail",
    effect="disables-feature",
    feature="gpu",
    where="cluster",
    requires=("GPU033",),
    sources=(
        "https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/env.html",
        "https://github.com/NVIDIA/nccl/issues/342",
        "https://github.com/NVIDIA/nccl/issues/473",
    ),
)
def test_gpus_add_up(dcs_gpu_smoke: Smoke) -> None:
    """Training on several GPUs adds up their gradients by NCCL. Settings of it that fit to another
    machine stop that, or let it wait for ever: "ncclSystemError: System call (e.g. socket, malloc)
    or external library call failed or device error". It is tried where there are two GPUs or more.

    Fix: remove `ENV NCCL_…=` from the Dockerfile, and take one NCCL, that of the framework's
    wheels: `RUN apt-get purge -y libnccl2`.
    """
    require_stage(dcs_gpu_smoke, "nccl", "the sum over all GPUs on each of them")


@rule(
    "GPU038",
    "gpu-parts-seen",
    level="advice",
    effect="disables-feature",
    feature="gpu",
    where="cluster",
    requires=("GPU031",),
    sources=(
        "https://docs.nvidia.com/datacenter/tesla/mig-user-guide/mig-device-names.html",
        VARIABLES,
    ),
)
def test_parts_are_seen(dcs_gpu_smoke: Smoke) -> None:
    """A GPU in MIG mode is divided into parts, of which a process sees one; the whole GPU cannot be
    used. What names whole GPUs by their own UUIDs gets "no CUDA-capable device is detected". It is
    advice, because the node decides the mode.

    Fix: remove `ENV CUDA_VISIBLE_DEVICES=GPU-…` from the Dockerfile; the node names the part.
    """
    require_stage(dcs_gpu_smoke, "mig", "parts of GPUs, where the GPUs are divided")


@rule(
    "GPU039",
    "spark-gives-gpus-to-tasks",
    level="fail",
    effect="disables-feature",
    feature="gpu",
    where="container",
    requires=("GPU032", "SPK005"),
    sources=(
        "https://github.com/databricks/containers/blob/master/experimental/ubuntu/ganglia/start_spark_slave.sh",
        GPU_PAGE,
        "https://spark.apache.org/docs/latest/configuration.html#custom-resource-scheduling-and-configuration-overview",
    ),
)
def test_spark_gives_gpus_to_tasks(dcs_gpu_spark_smoke: Smoke) -> None:
    """A worker looks for nvidia-smi on PATH and asks it, by a script, for the GPUs that Spark may
    give to tasks. A worker that finds none has none to give, and what asks for GPUs waits for ever:
    "Initial job has not accepted any resources; check your cluster UI to ensure that workers are
    registered and have sufficient resources". A task sees its own GPU alone, by
    CUDA_VISIBLE_DEVICES; what sets that again when Python starts lets all tasks share one.

    Fix: `ENV PATH=$PATH:/usr/bin`, no nvidia-smi of the image's own, `RUN apt-get purge -y
    'nvidia-utils-*'`, and no CUDA_VISIBLE_DEVICES in sitecustomize.py or files *.pth.
    """
    smoke = dcs_gpu_spark_smoke
    require_stage(smoke, "discovery", "the numbers of the GPUs, as a worker of Spark asks for them")
    require_stage(smoke, "tasks", "one GPU for each of as many tasks as there are GPUs")
    require_stage(smoke, "devices", "a process that finds the GPU of its task, and uses it")
