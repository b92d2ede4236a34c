# Debian packages a script needs. Use:  . .ci/packages.sh; need_packages g++ meson || exit 1
#
# What is missing is installed where that is possible (apt, and root or sudo without a password) and
# named either way; where it is not, the list and the command to run are printed and the status is
# non-zero.

missing_packages() {
  local package
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' ||
      printf '%s\n' "$package"
  done
}

need_packages() {
  local missing as_root=()
  if ! command -v dpkg-query >/dev/null; then
    echo "this is not a Debian or Ubuntu machine; provide these yourself: $*" >&2
    return 1
  fi
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -eq 0 ] && return 0

  if [ "$(id -u)" -ne 0 ]; then as_root=(sudo -n); fi
  if ! command -v apt-get >/dev/null ||
    { [ ${#as_root[@]} -gt 0 ] && ! sudo -n true 2>/dev/null; }; then
    echo "missing packages: ${missing[*]}" >&2
    echo "install them with: sudo apt-get install ${missing[*]}" >&2
    return 1
  fi

  echo "installing: ${missing[*]}" >&2
  export DEBIAN_FRONTEND=noninteractive
  "${as_root[@]}" apt-get update -qq >&2 || echo "apt-get update failed; trying the known lists" >&2
  "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || {
    echo "apt-get could not install: ${missing[*]}" >&2
    return 1
  }
  mapfile -t missing < <(missing_packages "${missing[@]}")
  [ ${#missing[@]} -eq 0 ] || { echo "still missing: ${missing[*]}" >&2; return 1; }
}
