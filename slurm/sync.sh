#!/usr/bin/env bash
# Send wandb the lines that it lacks of a comparison's runs. Needs a network and a login.
#
#   slurm/sync.sh out/shakespeare
#   watch -n 600 slurm/sync.sh out/shakespeare
#
# It sends the metrics of finished and running runs, each line once, however often it is called.

set -euo pipefail
folder=${1:?usage: slurm/sync.sh COMPARISON}
set +eu # the user's lines may not be strict
# shellcheck source=slurm/environment.sh
source "${CODEBOOK_ENVIRONMENT:-slurm/environment.sh}"
set -eu
export PYTHONPATH="${code:-$PWD}${PYTHONPATH:+:$PYTHONPATH}" PYTHONSAFEPATH=1

exec 9>"$folder/.sync"
flock --nonblock 9 || { echo "codebook: $folder is already being sent" >&2 && exit 1; }
failed=0
while IFS= read -r record; do
  python -m training.wandb_sync --run "$(dirname "$record")" --wandb online || failed=1
done < <(find "$folder/runs" -name metrics.jsonl | sort)
if [[ -e $folder/report ]]; then python -m eval.report --folder "$folder" >/dev/null || failed=1; fi
exit "$failed"
