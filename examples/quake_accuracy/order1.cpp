// QuAKE, order 1.
#include "contender_of.hpp"

template Contender contender<spiq::accuracy::quake>();
template Contender contender<spiq::accuracy::quake_one_sided>();
template Contender contender<spiq::accuracy::quake_rms>();
