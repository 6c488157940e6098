// The ladder's lower half.
#include "contender_of.hpp"

template Contender contender<spiq::accuracy::ladder2>();
template Contender contender<spiq::accuracy::ladder3>();
template Contender contender<spiq::accuracy::ladder4>();
