# Sourced by the scripts: `need PACKAGE...` installs the Debian packages that are missing, as root or by sudo.
# Does nothing when all are there; on other systems it only names them.
need() {
  if ! command -v dpkg-query > /dev/null 2>&1; then
    echo "no Debian system: these packages (or their like) must be installed: $*"
    return 0
  fi
  missing=
  for package in "$@"; do
    case $(dpkg-query -W -f '${Status}' "$package" 2> /dev/null) in
      *"install ok installed"*) ;;
      *) missing="$missing $package" ;;
    esac
  done
  if [ -z "$missing" ]; then return 0; fi
  as_root=
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo > /dev/null 2>&1; then
      echo "missing packages:$missing; install them as root, or install sudo" >&2
      return 1
    fi
    as_root=sudo
  fi
  echo "installing:$missing"
  $as_root apt-get update -qq || return 1
  # shellcheck disable=SC2086
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing > /dev/null
}

# Options for a first configuration: ninja, and ccache where it is installed. Left alone once a build folder exists.
generator_options() {
  if [ ! -f "$1/CMakeCache.txt" ]; then
    printf '%s ' -G Ninja
    if command -v ccache > /dev/null 2>&1; then printf '%s ' -DCMAKE_CXX_COMPILER_LAUNCHER=ccache; fi
  fi
}
