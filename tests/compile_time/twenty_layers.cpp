// A network of 20 weighted layers, lowered to two targets: the unit whose compile time is measured.
#include <spiq/lower/lower.hpp>
#include <spiq/nn/layers.hpp>

using namespace spiq;

namespace {
template <int Channels>
using Block = Residual<Seq<Conv2d<Channels, 3>, BatchNorm, Qcfs<8>, Conv2d<Channels, 3>, BatchNorm>>;
}

using Net = Network<Input<32, 32, 3>,                                                     //
                    Conv2d<32, 3>, BatchNorm, Qcfs<8>, Conv2d<32, 3>, BatchNorm, Qcfs<8>,  //
                    Conv2d<32, 3>, BatchNorm, Qcfs<8>, AvgPool<2>,                         //
                    Conv2d<64, 3>, BatchNorm, Qcfs<8>, Block<64>, Qcfs<8>, Block<64>, Qcfs<8>, AvgPool<2>,      //
                    Conv2d<128, 3>, BatchNorm, Qcfs<8>, Block<128>, Qcfs<8>, Block<128>, Qcfs<8>, AvgPool<2>,   //
                    Conv2d<256, 3>, BatchNorm, Qcfs<8>, Conv2d<256, 3>, BatchNorm, Qcfs<8>,                    //
                    Conv2d<256, 3>, BatchNorm, Qcfs<8>, Conv2d<256, 3>, BatchNorm, Qcfs<8>, AvgPool<2>,         //
                    Flatten, Linear<128>, Qcfs<8>, Linear<128>, Qcfs<8>, Linear<10>>;

Tensor<float> dense_logits(const Net& net, const Tensor<float>& images) {
  const auto dense = lower(net, target::Float{});
  return dense(images);
}

Tensor<float> spiking_logits(const Net& net, const Tensor<float>& images) {
  const auto spiking = lower(net, target::Spiking{conversion::Pascal{}});
  return spiking(images);
}
