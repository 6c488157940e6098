// The ladder's top.
#include "contender_of.hpp"

template Contender contender<spiq::accuracy::ladder5>();
template Contender contender<spiq::accuracy::full>();
