import pytest

from mixhub.spec import catalog
from mixhub.training.devices import mfu, peak_flops

HUMAN = catalog.get("human-1b")


@pytest.mark.parametrize(
    ("name", "bfloat16", "float32"),
    [
        ("NVIDIA A100-SXM4-40GB", 312e12, 19.5e12),
        ("NVIDIA A100 80GB PCIe", 312e12, 19.5e12),
        ("NVIDIA H100 80GB HBM3", 989e12, 67e12),
        ("NVIDIA H100 PCIe", 756e12, 51e12),
        ("NVIDIA H200", 989e12, 67e12),
        ("NVIDIA GH200 480GB", 989e12, 67e12),
        ("NVIDIA B200", 2250e12, 75e12),
        ("NVIDIA L4", 121e12, 30.3e12),
        ("NVIDIA L40S", 362e12, 91.6e12),
        ("AMD Instinct MI300X", 1307.4e12, 163.4e12),
        ("Tesla V100-SXM2-16GB", None, 15.7e12),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", None, None),
        ("Intel(R) Xeon(R) Platinum 8480C", None, None),
        ("cpu", None, None),
        ("NVIDIA H1000", None, None),
    ],
)
def test_peaks_are_known_by_the_name_of_the_device(name: str, bfloat16: float | None, float32: float | None) -> None:
    assert peak_flops(name, "bfloat16") == pytest.approx(bfloat16)
    assert peak_flops(name, "float32") == pytest.approx(float32)


def test_mfu_is_that_of_the_original_runs() -> None:
    """RegMix's runs took two days on eight A100: 19,000 tokens a second on each, 52 % of their peak."""
    assert mfu(HUMAN, 8 * 19_000, "NVIDIA A100-SXM4-40GB", 8) == pytest.approx(0.52, abs=0.005)
    assert mfu(HUMAN, 8 * 19_000, "cpu", 8) is None
