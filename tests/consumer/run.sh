# test
# beside
# timeout: 240
# Installs the library into an empty folder and builds a project outside the tree with what is
# there: g++ and pkg-config, nothing of meson, nothing of this tree.
set -euo pipefail
away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT

DESTDIR=$away/root meson install -C "$TESSERA_BUILD" --no-rebuild --quiet >/dev/null
description=$(find "$away/root" -name tessera.pc)
prefix=${description%/share/pkgconfig/tessera.pc}
[ "$prefix" != "$description" ] || { echo "no share/pkgconfig/tessera.pc is installed"; exit 1; }

# Installed are all headers, as files, and nothing but headers.
installed=$(cd "$prefix/include" && find tessera -type f | sort)
cd "$TESSERA_SOURCE"
expected=$( (find include/tessera -type f -name '*.hpp' -printf 'tessera/%P\n'
  find kernels -type f -name '*.hpp' -printf 'tessera/kernels/%P\n') | sort)
[ "$installed" = "$expected" ] || { diff <(echo "$expected") <(echo "$installed"); exit 1; }
links=$(find "$prefix/include" -type l)
[ -z "$links" ] || { echo "installed as a link: $links"; exit 1; }

cp "$TESSERA_SOURCE"/tests/consumer/*.cpp "$away/"
cd "$away"
export PKG_CONFIG_PATH=$prefix/share/pkgconfig
flags=$(pkg-config --cflags --libs tessera)
case $flags in *"$TESSERA_SOURCE"/*) echo "tessera.pc names this tree: $flags"; exit 1 ;; esac
for program in *.cpp; do
  echo "g++ -O1 $program $flags"
  # shellcheck disable=SC2086
  g++ -O1 "$program" -o "${program%.cpp}" $flags
  ./"${program%.cpp}"
done
