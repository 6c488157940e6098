// QuAKE, order 2.
#include "contender_of.hpp"

template Contender contender<spiq::accuracy::quake2>();
template Contender contender<spiq::accuracy::quake2_balanced>();
template Contender contender<spiq::accuracy::quake2_scaled>();
