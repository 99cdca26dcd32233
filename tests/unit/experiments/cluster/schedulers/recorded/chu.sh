#!/bin/bash
#SBATCH --job-name=run-7
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=12
#SBATCH --mem=480G
#SBATCH --gres=gpu:4
#SBATCH --partition=gpu
#SBATCH --time=2-00:00:00
#SBATCH --signal=USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=batch.log
# Written by erios for one job. Its variables are in the file environment, what its ranks say in rank-N.log.
umask 077
ulimit -c 0
trap : TERM USR1
rm -f rank-*.end job.end
[ -e cancelled ] && exit 1
export OMP_NUM_THREADS=12
export NCCL_SOCKET_IFNAME='^lo,docker'

first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_ADDR=$(scontrol show node "$first" | sed -n 's/.*NodeAddr=\([^ ]*\).*/\1/p')
MASTER_PORT=$((15000 + (SLURM_JOB_ID * 8 + ${SLURM_RESTART_COUNT:-0}) % 15000))
while (exec 3<>"/dev/tcp/$MASTER_ADDR/$MASTER_PORT") 2>/dev/null; do MASTER_PORT=$((MASTER_PORT + 1)); done
export MASTER_ADDR MASTER_PORT

# One task a process. The first that fails takes its peers along, one that is done does not. Cores are named again,
# since steps inherit none.
srun --ntasks-per-node=4 --cpus-per-task=12 --kill-on-bad-exit=1 --wait=0 \
  --output=rank-%t.log --open-mode=append bash -c 'trap : TERM USR1
. ./environment || exit
"$@"
code=$?
echo "$(date +%s%N) $code $SLURMD_NODENAME" >"rank-$SLURM_PROCID.end"
[ $code = 75 ] && exit
exit $code
' rank \
  /opt/venv/bin/python -m bundle --title 'it'"'"'s $HOME'
code=$?

# A job that was cancelled or preempted is not RUNNING any more: Slurm itself knows what is next.
is_ours() { scontrol show job "$SLURM_JOB_ID" | grep -q 'JobState=RUNNING'; }
if [ $code = 0 ] && grep -qs ' 75 ' rank-*.end; then
  code=75
  is_ours && scontrol requeue "$SLURM_JOB_ID" && exit 0
fi
is_ours && rm -f environment
echo $code >job.end
exit $code
