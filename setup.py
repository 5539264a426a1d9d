"""Install the three folders as one import package; pyproject.toml says the rest.

Only code can both rename a folder and find its subfolders: `packages.find` of
pyproject.toml cannot rename, and a list by hand forgets the next subfolder.
"""

from setuptools import find_packages, setup

FOLDERS = {"qcore": "qcore", "qcore.backends": "backends", "qcore.adapters": "adapters"}

setup(
    package_dir=FOLDERS,
    packages=[
        *FOLDERS,
        *(
            f"{package}.{subpackage}"
            for package, folder in FOLDERS.items()
            for subpackage in find_packages(folder)
        ),
    ],
)
