"""Variables of the environment by which libraries compute other values: a run does not obey them.

Most are read when a library is imported, or when Python starts, so that the script begins anew without them.
docs/faults.md says what they do.
"""

import os
import sys
from collections.abc import Callable

# Of GDAL and the libraries beneath it; OpenCV; numpy and its linear algebra; torch; timm, pandas and scipy;
# torch's compiler; how many of the threads that are asked for there are; matplotlib; git, of another project.
# Not OPENBLAS_CORETYPE: it says for which processor, and different machines agree by it.
OBEYED = (
    *("GDAL_", "GTIFF_", "TIFF_", "JPEG_", "JPEGMEM", "PNG_", "WEBP_", "CPL_", "VSI_", "CONVERT_YCBCR"),
    *("OPENCV_", "NPY_", "MKL_", "DNNL_", "ONEDNN_", "ATEN_"),
    *("TORCH_ALLOW_TF32", "TORCH_BLAS_", "TORCH_LINALG_", "TORCH_CUDNN_", "NVIDIA_TF32", "CUBLAS", "CUDNN_"),
    *("TORCH_MKLDNN_", "TORCH_LINEAR_", "FBGEMM_", "TIMM_", "PANDAS_", "SCIPY_"),
    *("TORCHINDUCTOR_", "TORCHDYNAMO_", "TORCH_COMPILE_", "OPENBLAS_BLOCK_FACTOR", "OPENBLAS_L2_SIZE"),
    *("OMP_DYNAMIC", "OMP_THREAD_LIMIT", "OMP_MAX_ACTIVE_LEVELS"),
    *("MPLBACKEND", "MATPLOTLIBRC", "FREETYPE_PROPERTIES"),
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE"),
)
# rasterio itself sets the second, which is of the network.
HARMLESS = (
    "GDAL_DATA",
    "GDAL_CURL_CA_BUNDLE",
    "MKL_NUM_THREADS",
    "OPENCV_LOG_LEVEL",
    "TORCHINDUCTOR_CACHE_DIR",
)
LEFT_OUT = "FTU_LEFT_OUT"  # what a script that began anew was started with


def settle(main: Callable) -> str:
    """Begin the script of `main` anew where a variable would be obeyed; a sentence on those left out, or ''.

    Nothing happens where `main` is called by another program than its own script, such as a test.
    """
    left_out, found = os.environ.pop(LEFT_OUT, ""), obeyed()
    if found and not left_out and main.__module__ == "__main__":
        kept = {name: value for name, value in os.environ.items() if name not in found}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], kept | {LEFT_OUT: ", ".join(found)})
    close_settings()
    return left_out and f"{left_out} of the environment would change what is computed, and is not obeyed"


def obeyed() -> list[str]:
    """The variables of this process by which libraries compute other values."""
    found = sorted(name for name in os.environ if name.startswith(OBEYED) and name not in HARMLESS)
    if os.environ.get("GDAL_CONFIG_FILE") == os.devnull:  # of a run that started this one
        found.remove("GDAL_CONFIG_FILE")
    return found


def close_settings() -> None:
    """Let GDAL read no file of settings, such as ~/.gdal/gdalrc; it looks when it first opens a file."""
    os.environ["GDAL_CONFIG_FILE"] = os.devnull
