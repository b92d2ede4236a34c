#!/usr/bin/env bash
# Builds and trains a language model on real text: one command, from a fresh clone.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
  cat << 'END'
Trains a byte-level language model on Shakespeare's plays, or on a text of your own.

  examples/train.sh [--ranks N] [--policies LIST] [--model NAME] [--data FILE] [--out DIR]
                    [-- FLAGS]

  --ranks N         processes                       (2)
  --policies LIST   how the work is laid out        ('Zero<3>, Precision<bf16>'), say 'Zero<2>'
  --model NAME      a model of examples/train.cpp   (tiny)
  --data FILE       text, or tokens: .bin holds uint16, .bin32 uint32 (Shakespeare, fetched once)
  --out DIR         where the results go            (out/)
  --cuda            on GPUs, a rank on each of this machine's unless --ranks says otherwise
  --build-only      compile and stop
  -- FLAGS          for the program: -- --help lists them

  examples/train.sh --ranks 4 --policies 'Zero<2>, Accumulate<4>' -- --steps 50

Missing packages are installed with apt and named. A layout is compiled once and kept in out/build.
END
}
stop() {
  echo "train.sh: $1" >&2
  exit "${2:-1}"
}

ranks='' cuda=no policies='Zero<3>, Precision<bf16>' model=tiny data='' out=$root/out build_only=no
while (($#)); do
  case $1 in
    --ranks | --policies | --model | --data | --out)
      [[ -n ${2-} ]] || stop "$1 needs a value; --help shows what" 2
      declare "${1#--}=$2"
      shift 2
      ;;
    --ranks=* | --policies=* | --model=* | --data=* | --out=*)
      name=${1%%=*}
      set -- "$name" "${1#*=}" "${@:2}"
      ;;
    --build-only) build_only=yes && shift ;;
    --cuda) cuda=yes && shift ;;
    --help | -h) usage && exit 0 ;;
    --) shift && break ;;
    *) stop "unknown flag $1; --help lists the flags, and the program's own follow after --" 2 ;;
  esac
done
if [[ $cuda == yes ]]; then
  nvcc=$(command -v nvcc || echo "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc")
  [[ -x $nvcc ]] || stop "--cuda needs nvcc, on the path or below CUDA_HOME; install the toolkit"
  gpus=$({ nvidia-smi -L 2> /dev/null || true; } | wc -l)
  if ((gpus == 0)) && [[ $build_only == no ]]; then
    stop "--cuda: nvidia-smi lists no GPU here; leave --cuda out to train on cores"
  fi
  policies="$policies, On<Cuda>" ranks=${ranks:-$gpus}
fi
ranks=${ranks:-2}
[[ $ranks =~ ^[1-9][0-9]{0,3}$ ]] || stop "--ranks is '$ranks'; use a number from 1 to 9999" 2
[[ $model =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] || stop "--model is '$model'; use a name, such as tiny" 2
if [[ -n $data && ! -e $data ]]; then stop "--data names $data, which does not exist"; fi

# --- packages and text ----------------------------------------------------------------------------
# shellcheck source=../.ci/packages.sh
. "$root/.ci/packages.sh"
need_packages g++ libdnnl-dev libopenmpi-dev openmpi-bin || exit 1
if [[ -z $data && $build_only == no ]]; then
  if [[ ! -e ${XDG_CACHE_HOME:-$HOME/.cache}/tessera/shakespeare.txt ]]; then
    need_packages python3 python3-pip || exit 1
  fi
  need_packages python3 || exit 1
  data=$(python3 "$root/examples/shakespeare.py") || exit 1
fi

# --- build ----------------------------------------------------------------------------------------
flags=(-std=c++20 -O2 -march=native -fopenmp "-I$root/include"
  -DOMPI_SKIP_MPICXX -DMPICH_SKIP_MPICXX "-DTESSERA_POLICIES=$policies" "-DTESSERA_MODEL=$model")
compile=(mpicxx "${flags[@]}") libraries=(-ldnnl)
if [[ $cuda == yes ]]; then
  card=native
  if ((gpus == 0)); then card=sm_80; fi  # compiled here to run elsewhere
  read -ra mpi <<< "$(mpicxx --showme:compile) $(mpicxx --showme:link)"
  for word in "${mpi[@]}"; do case $word in -[ILl]*) libraries+=("$word") ;; esac done
  libraries+=(-lcublasLt -lnccl -ldl)
  flags=("${flags[@]/-march=native/-arch=$card}")
  flags=("${flags[@]/-fopenmp/--extended-lambda}" -x cu -DTESSERA_CUDA -Xcompiler -fopenmp)
  compile=("$nvcc" "${flags[@]}")
fi
sources() {
  find -L "$root/include" "$root/examples" -type f \( -name '*.hpp' -o -name train.cpp \) -print0 |
    LC_ALL=C sort -z
}
# The processor belongs to the name: -march=native on another machine is another program.
name=$({
  printf '%s\n' "${flags[@]}"
  mpicxx --version
  grep -m 1 '^flags' /proc/cpuinfo || true
  sources | xargs -0 sha256sum
} | sha256sum | cut -c 1-16)
program=$root/out/build/$name/train
if [[ ! -x $program ]]; then
  echo "compiling examples/train.cpp: model $model, policies $policies"
  mkdir -p "${program%/*}"
  part=$program.$$
  trap 'rm -f "$part"' EXIT
  started=$SECONDS
  "${compile[@]}" "$root/examples/train.cpp" -o "$part" "${libraries[@]}" ||
    stop "the program does not compile; the first error above says which rule the layout breaks"
  mv "$part" "$program"  # whole or not at all
  trap - EXIT
  echo "compiled in $((SECONDS - started)) s"
fi
if [[ $build_only == yes ]]; then
  echo "$program"
  exit 0
fi

# --- run ------------------------------------------------------------------------------------------
# The processors this process may use: its affinity, less if a container has a quota.
processors() {
  local n quota period share
  n=$(nproc)
  if read -r quota period 2> /dev/null < /sys/fs/cgroup/cpu.max; then :; else
    quota=$(cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2> /dev/null || echo max)
    period=$(cat /sys/fs/cgroup/cpu/cpu.cfs_period_us 2> /dev/null || echo 100000)
  fi
  if [[ $quota =~ ^[0-9]+$ ]]; then
    share=$(((quota + period - 1) / period))
    if ((share < n)); then n=$share; fi
  fi
  echo "$n"
}
cores=$(processors)
threads=$((cores > ranks ? cores / ranks : 1))
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$threads}

# Behind mpirun a rank cannot see how wide the terminal is, or whether there is one.
TESSERA_COLUMNS=0
if [[ -t 1 ]]; then
  TESSERA_COLUMNS=$(stty size 2> /dev/null < /dev/tty | cut -d ' ' -f 2 || echo 80)
fi
export TESSERA_COLUMNS

launch=(mpirun -n "$ranks")
if [[ $(mpirun --version 2>&1) == *'Open MPI'* || $(mpirun --version 2>&1) == *OpenRTE* ]]; then
  launch+=(-q)  # a rank's own sentence says what went wrong
  if ((EUID == 0)); then launch+=(--allow-run-as-root); fi
  launch+=(--oversubscribe --bind-to none -x OMP_NUM_THREADS -x TESSERA_COLUMNS)
  if ((ranks > cores)); then launch+=(--mca mpi_yield_when_idle 1); fi
  # Containers forbid reading another process's memory; Open MPI would complain once per message.
  export OMPI_MCA_btl_vader_single_copy_mechanism=${OMPI_MCA_btl_vader_single_copy_mechanism:-none}
fi
launch+=("$program" --data "$data" --out "$out" "$@")

# In a process group of its own mpirun hears of Ctrl-C once, from here, and ends its ranks.
mkdir -p "$out" 2> /dev/null || stop "cannot make the folder $out; choose another with --out"
touch "$out/.started"
signal=''
set -m
"${launch[@]}" < /dev/null &
running=$!
set +m
trap 'signal=INT; kill -INT $running 2> /dev/null' INT
trap 'signal=TERM; kill -TERM $running 2> /dev/null' TERM HUP
code=0
while wait "$running" && code=0 || code=$?; kill -0 "$running" 2> /dev/null; do :; done
trap - INT TERM HUP
if [[ -n $signal ]]; then code=$((128 + $(kill -l "$signal"))); fi

# --- what there is now ----------------------------------------------------------------------------
describe() {
  case $1 in
    log.jsonl) echo 'every step: losses, gradient norm, tokens per second' ;;
    loss.svg) echo 'the curves; open it in a browser' ;;
    plan.txt) echo 'what every rank gathered, computed, sent and freed' ;;
    trace.json) echo 'when; open it on ui.perfetto.dev' ;;
    sample.txt) echo 'its own writing' ;;
    *) echo ;;
  esac
}
fresh=$(find "$out" -maxdepth 1 -type f -newer "$out/.started" ! -name '.*' -printf '%f\n' |
  LC_ALL=C sort)
rm -f "$out/.started"
if [[ -n $fresh ]]; then
  printf '\nin %s:\n' "${out/#$PWD\//}"
  while IFS= read -r file; do printf '  %-12s %s\n' "$file" "$(describe "$file")"; done <<< "$fresh"
fi
exit "$code"
