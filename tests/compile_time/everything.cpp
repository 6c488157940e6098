// What including everything costs, before anything is used.
#include <spiq/spiq.hpp>
