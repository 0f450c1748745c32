"""A product of matrices by the image's framework on a GPU, against the same by plain Python.

Lies beside every probe inside the container: standard library only, Python 3.7 grammar. A framework
is imported only when it is tried.

How far a result may lie off is no guess. A sum of k products, each step of which is off by at most
the factor 1 + u, lies within g(k) |A||B| of the true one, g(k) = k u / (1 - k u); where the factors
were rounded before, within ((1 + r)^2 (1 + g(k)) - 1) |A||B|; and one more factor 1 + o where the
result is rounded again: N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., 3.1 and
3.5. Tensor cores cut off instead of rounding, so u is 2^-23 and not the 2^-24 of float32:
https://peerj.com/articles/cs-330/. tf32 keeps 10 bits behind the point and cuts off: r is 2^-10.
bf16 has 8 significant bits and is rounded to: r and o are 2^-8.
https://docs.pytorch.org/docs/stable/notes/cuda.html
"""

import importlib
import importlib.util
import random
import time

FRAMEWORKS = ("torch", "cupy", "tensorflow", "jax")
"""Of these the first that the image has is tried."""

SIZE = 96
"""Rows and columns of what plain Python computes too. Few, so that the bound for float32 is narrow
enough to show a product that was computed with tf32's ten bits."""
TILES = 42
"""How often that is laid side by side, in either direction, for the measurement."""
REPEATS = 5
SEED = 20

STEP = 2.0**-23
ROUNDING = {"fp32": (0.0, 0.0), "tf32": (2.0**-10, 0.0), "bf16": (2.0**-8, 2.0**-8)}
"""By precision: how far each factor may have been rounded, and the result."""
OLDEST = {"fp32": (0, 0), "tf32": (8, 0), "bf16": (8, 0)}
"""By precision: the compute capability from which a GPU has it."""


class WrongProduct(Exception):
    """The framework has no GPU, or its result is not the product."""


class Torch:
    """PyTorch."""

    precisions = ("fp32", "tf32", "bf16")

    def __init__(self, module):
        self.torch = module

    def sees_gpu(self):
        """Whether it has found a GPU."""
        return self.torch.cuda.is_available()

    def matrix(self, rows, precision):
        """Return a matrix on the GPU."""
        self.torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        # Else sums over a part of the row may be rounded to bf16 between.
        self.torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
        matrix = self.torch.tensor(rows, dtype=self.torch.float32, device="cuda")
        return matrix.to(self.torch.bfloat16) if precision == "bf16" else matrix

    def tiled(self, matrix):
        """Return the matrix side by side with itself."""
        return matrix.repeat(TILES, TILES)

    def product(self, one, other):
        """Return the product of two matrices."""
        return one @ other

    def rows(self, matrix):
        """Return a matrix as lists, once it has been computed."""
        return matrix.float().cpu().tolist()


class Cupy:
    """CuPy, which decides by a variable at its start whether it uses tf32, and knows no bf16."""

    precisions = ("fp32",)

    def __init__(self, module):
        self.cupy = module

    def sees_gpu(self):
        """Whether it has found a GPU."""
        return self.cupy.is_available()

    def matrix(self, rows, _):
        """Return a matrix on the GPU."""
        return self.cupy.asarray(rows, dtype=self.cupy.float32)

    def tiled(self, matrix):
        """Return the matrix side by side with itself."""
        return self.cupy.tile(matrix, (TILES, TILES))

    def product(self, one, other):
        """Return the product of two matrices."""
        return self.cupy.matmul(one, other)

    def rows(self, matrix):
        """Return a matrix as lists, once it has been computed."""
        return self.cupy.asnumpy(matrix).tolist()


class TensorFlow:
    """TensorFlow."""

    precisions = ("fp32", "tf32", "bf16")

    def __init__(self, module):
        self.tf = module

    def sees_gpu(self):
        """Whether it has found a GPU."""
        return bool(self.tf.config.list_physical_devices("GPU"))

    def matrix(self, rows, precision):
        """Return a matrix on the GPU."""
        self.tf.config.experimental.enable_tensor_float_32_execution(precision == "tf32")
        with self.tf.device("GPU:0"):
            matrix = self.tf.constant(rows, self.tf.float32)
            return self.tf.cast(matrix, self.tf.bfloat16) if precision == "bf16" else matrix

    def tiled(self, matrix):
        """Return the matrix side by side with itself."""
        return self.tf.tile(matrix, (TILES, TILES))

    def product(self, one, other):
        """Return the product of two matrices."""
        with self.tf.device("GPU:0"):
            return self.tf.matmul(one, other)

    def rows(self, matrix):
        """Return a matrix as lists, once it has been computed."""
        return self.tf.cast(matrix, self.tf.float32).numpy().tolist()


class Jax:
    """JAX."""

    precisions = ("fp32", "tf32", "bf16")

    def __init__(self, module):
        self.jax = module
        self.precision = "float32"

    def sees_gpu(self):
        """Whether it has found a GPU."""
        return any(device.platform == "gpu" for device in self.jax.devices())

    def matrix(self, rows, precision):
        """Return a matrix on the GPU."""
        self.precision = JAX_PRECISIONS[precision]
        numbers = self.jax.numpy
        matrix = numbers.asarray(rows, dtype=numbers.float32)
        return matrix.astype(numbers.bfloat16) if precision == "bf16" else matrix

    def tiled(self, matrix):
        """Return the matrix side by side with itself."""
        return self.jax.numpy.tile(matrix, (TILES, TILES))

    def product(self, one, other):
        """Return the product of two matrices."""
        return self.jax.numpy.matmul(one, other, precision=self.precision)

    def rows(self, matrix):
        """Return a matrix as lists, once it has been computed."""
        return matrix.astype(self.jax.numpy.float32).tolist()


JAX_PRECISIONS = {"fp32": "float32", "tf32": "tensorfloat32", "bf16": "default"}
ADAPTERS = {"torch": Torch, "cupy": Cupy, "tensorflow": TensorFlow, "jax": Jax}


def installed():
    """Return the name of the framework that is tried, or None."""
    return next((name for name in FRAMEWORKS if importlib.util.find_spec(name)), None)


def trial(name, capability):
    """Return what a framework computed and how fast; raises `WrongProduct`, and what it raises."""
    started = time.time()
    module = importlib.import_module(name)
    adapter = ADAPTERS[name](module)
    title = "%s %s" % (name, getattr(module, "__version__", "without a version"))
    if not adapter.sees_gpu():
        raise WrongProduct("%s sees no GPU" % title)
    found = {"framework": title, "start_s": round(time.time() - started, 3), "tflop_s": {}}
    one, other = matrices()
    exact, size = exact_product(one, other)
    for precision in adapter.precisions:
        if tuple(capability) >= OLDEST[precision]:
            factors = adapter.matrix(one, precision), adapter.matrix(other, precision)
            product = adapter.rows(adapter.product(*factors))
            compare(title, precision, product, exact, size)
            found["tflop_s"][precision] = measure(adapter, *factors)
    return found


def matrices():
    """Return two square matrices of numbers between -1 and 1, the same ones each time."""
    numbers = random.Random(SEED)
    return tuple(
        [[single(numbers.uniform(-1, 1)) for _ in range(SIZE)] for _ in range(SIZE)]
        for _ in range(2)
    )


def single(number):
    """Return a number that float32 has, close to another."""
    return round(number * 2**23) / 2**23


def exact_product(one, other):
    """Return the product, and the product of the absolute values, to Python's 53 bits."""
    columns = list(zip(*other))
    exact = [[sum(a * b for a, b in zip(row, column)) for column in columns] for row in one]
    size = [[sum(abs(a * b) for a, b in zip(row, column)) for column in columns] for row in one]
    return exact, size


def allowance(precision):
    """Return how far a result may lie off, as a part of the sum of the absolute products."""
    factors, result = ROUNDING[precision]
    steps = SIZE * STEP / (1 - SIZE * STEP)
    return (1 + factors) ** 2 * (1 + steps) * (1 + result) - 1


def compare(title, precision, product, exact, size):
    """Raise `WrongProduct` for the first result that lies off by more than it may."""
    part = allowance(precision)
    for row in range(SIZE):
        for column in range(SIZE):
            found, needed = product[row][column], exact[row][column]
            allowed = part * size[row][column]
            # Written so that what is no number is wrong too.
            if not abs(found - needed) <= allowed:
                message = "%s, %s: row %d, column %d is %r, not %r within %.2g"
                raise WrongProduct(
                    message % (title, precision, row, column, found, needed, allowed)
                )


def measure(adapter, one, other):
    """Return the TFLOP/s of a large product."""
    one, other = adapter.tiled(one), adapter.tiled(other)
    adapter.rows(adapter.product(one, other)[:1, :1])
    started = time.time()
    for _ in range(REPEATS):
        product = adapter.product(one, other)
    adapter.rows(product[:1, :1])
    seconds = max(time.time() - started, 1e-9)
    return round(2 * REPEATS * (SIZE * TILES) ** 3 / seconds / 1e12, 2)
