"""Values halfway between two numbers of a narrow dtype are rounded to the even one."""

import numpy as np
import pytest

import reference
from initfast import _kernels
from initfast.core import distributions
from initfast.core.dtypes import FLOAT32, resolve

# dtype, a number halfway between two neighbours, the neighbours (the even one first).
TIES = [
    ("float16", 1 + 2.0**-11, 1.0, 1 + 2.0**-10),
    ("float16", 1 + 3 * 2.0**-11, 1 + 2.0**-9, 1 + 2.0**-10),
    ("bfloat16", 1 + 2.0**-8, 1.0, 1 + 2.0**-7),
    ("bfloat16", 1 + 3 * 2.0**-8, 1 + 2.0**-6, 1 + 2.0**-7),
    ("float8_e4m3fn", 1.0625, 1.0, 1.125),
    ("float8_e4m3fn", 1.1875, 1.25, 1.125),
    ("float8_e5m2", 1.125, 1.0, 1.25),
    ("float8_e5m2", 1.375, 1.5, 1.25),
]
COUNT = 4099


@pytest.mark.parametrize(("name", "tie", "even", "odd"), TIES)
def test_ties_go_to_even(backend, name, tie, even, odd):
    # So narrow a normal that float32 rounds many of its values to the tie itself.
    before = reference.values(distributions.normal(tie, 2.0**-22, FLOAT32), 3, 5, 1, COUNT)
    source = distributions.normal(tie, 2.0**-22, resolve(name))
    values = np.empty(COUNT * source.itemsize, np.uint8)
    _kernels.fill_flat(source, 3, 5, values.ctypes.data, 1, COUNT, 1)
    values = values.view(resolve(name)).astype(np.float64)
    ties = before == np.float32(tie)
    assert ties.sum() > 100
    assert (values[ties] == even).all()
    assert (values[~ties] == odd).any()
