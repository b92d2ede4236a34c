#!/usr/bin/env bash
# test
# timeout: 240
# bench/gpu.sh works: it refuses in a sentence where there is no GPU, and its small sizes run on the
# doubles, which g++ under nvcc's name builds.
set -eu
cd "${TESSERA_SOURCE:?}"
out=${TESSERA_BUILD:?}/checks/gpu_bench
rm -rf "$out"
mkdir -p "$out/nothing" "$out/bin"
for home in "${CUDA_HOME:-}" /usr/local/cuda; do
  if [[ -n $home && -e $home/include/cublasLt.h ]]; then cuda=$home/include && break; fi
done
[[ -n ${cuda:-} ]] || {
  echo "bench.sh: the CUDA headers are missing"
  exit 77
}
die() {
  echo "FAILED: $*"
  exit 1
}

for tool in bash dirname; do ln -s "$(command -v $tool)" "$out/nothing/$tool"; done
for script in bench/gpu.sh tests/gpu.sh; do
  if TESSERA_BUILD=$out PATH=$out/nothing bash $script > "$out/text" 2>&1; then
    die "$script passes without a GPU"
  fi
  grep -q "$script: .*; " "$out/text" || die "$script says: $(cat "$out/text")"
done

cat > "$out/bin/nvidia-smi" << 'END'
#!/usr/bin/env bash
echo "NVIDIA H100 80GB HBM3"
END
cat > "$out/bin/nvcc" << END
#!/usr/bin/env bash
arguments=()
for a in "\$@"; do
  case \$a in
    -arch=* | -x | cu | -Xcompiler | --extended-lambda | -O2 | -lcublasLt | -ldl) ;;
    *) arguments+=("\$a") ;;
  esac
done
exec g++ -O0 -Itests/cuda_double -isystem "$cuda" -DTESSERA_CUDA_DOUBLE "\${arguments[@]}" \
  tests/cuda_double/{cublaslt,fibers,graphs,memory,runtime,sort}.cpp
END
chmod +x "$out"/bin/*
TESSERA_BUILD=$out TESSERA_PEERS="$out/nothing" PATH=$out/bin:$PATH \
  bash bench/gpu.sh --tiny --seconds 0 | tee "$out/said"
results=$(sed -n 's/^each step and every number: //p' "$out/said")
[[ -n $results ]] || die "it names no results"
mv "$results" "$out/lines"
grep -q '^peers: not run, ' "$out/said" || die "it does not say that there are no peers"
for size in gpt2-tiny llama-tiny; do
  grep -qE "^$size +32 tessera +[1-9][0-9]* " "$out/said" || die "no row of $size"
done
python3 - "$out/lines" << 'END' || die "its lines"
import json
import sys

for line in map(json.loads, open(sys.argv[1])):
    seconds = sorted(line["seconds"])[len(line["seconds"]) // 2]
    speed = line["sequences"] * line["tokens"] / seconds
    assert abs(line["tokens_per_second"] / speed - 1) < 0.01, line
    assert abs(line["mfu"] * seconds * 989e12 / line["flops"] - 1) < 0.01, line
    # The plan and what libraries take beside it.
    assert 0 <= line["measured_bytes"] - line["predicted_bytes"] < 2**20, line
END
program="$out/bench --size gpt2-tiny --tokens 32 --steps 1 --warmup 0"
if $program --card "Some other card" | grep mfu; then die "a peak of a card that nobody knows"; fi
echo "passed: bench/gpu.sh refuses without a GPU, and measures on the doubles"
