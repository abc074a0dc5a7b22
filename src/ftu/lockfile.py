"""Where git configurations of earlier versions look for the merge driver of dvc.lock, for one version."""

from ftu_tools.maintenance.merge_dvc_lock import main, run

if __name__ == "__main__":
    run(main)
