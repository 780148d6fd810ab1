#include "resilience/ridge.hpp"

#include <gtest/gtest.h>

#include <random>

#include "resilience/expert_mix.hpp"

namespace resilience {
namespace {

using Small = Ridge<kSpreadFeatures>;

Small::Row random_row(std::mt19937& random) {
  std::normal_distribution<double> normal;
  Small::Row row{};
  for (double& value : row) {
    value = normal(random);
  }
  return row;
}

TEST(Ridge, FindsTheCoefficientsOfALinearLaw) {
  std::mt19937 random(7);
  const Small::Row truth{1.0, -2.0, 0.5, 0.0, 3.0, -0.25};
  Small ridge(1.0, 1e-9);
  for (int i = 0; i < 500; ++i) {
    const Small::Row x = random_row(random);
    double y = 0.0;
    for (std::size_t k = 0; k < x.size(); ++k) {
      y += truth[k] * x[k];
    }
    ridge.learn(x, y, 1.0);
  }
  ridge.solve();
  for (std::size_t k = 0; k < truth.size(); ++k) {
    EXPECT_NEAR(ridge.coefficients()[k], truth[k], 1e-5);
  }
}

TEST(Ridge, NonNegativeSolutionIsFeasibleAndNoWorseThanZero) {
  std::mt19937 random(11);
  Small ridge(1.0, 1e-6);
  for (int i = 0; i < 500; ++i) {
    const Small::Row x = random_row(random);
    ridge.learn(x, 2.0 * x[0] - x[1], 1.0);
  }
  ridge.solve_non_negative();
  EXPECT_NEAR(ridge.coefficients()[0], 2.0, 0.1);
  for (const double coefficient : ridge.coefficients()) {
    EXPECT_GE(coefficient, 0.0);
  }
  EXPECT_LT(ridge.coefficients()[1], 0.05);
}

TEST(Ridge, KeepsItsCoefficientsWhenNothingWasSeen) {
  Small ridge(1.0, 1e-3);
  ridge.solve();
  EXPECT_DOUBLE_EQ(ridge.predict({1, 1, 1, 1, 1, 1}), 0.0);
}

TEST(Ridge, ForgetsAnOldLaw) {
  std::mt19937 random(3);
  Small ridge(0.95, 1e-9);
  for (int i = 0; i < 600; ++i) {
    const Small::Row x = random_row(random);
    ridge.learn(x, (i < 300 ? 1.0 : 5.0) * x[0], 1.0);
  }
  ridge.solve();
  EXPECT_NEAR(ridge.coefficients()[0], 5.0, 1e-3);
}

TEST(ExpertMix, EndsUpWithTheExpertThatIsRight) {
  std::mt19937 random(5);
  std::normal_distribution<double> noise;
  ExpertMix<3> mix(0.999);
  for (int i = 0; i < 2000; ++i) {
    const double truth = 100.0 + noise(random);
    const ExpertMix<3>::Values said{truth + 10.0, truth + 0.1 * noise(random), truth - 20.0};
    mix.learn(said, mix.mix(said), truth, 1.0);
    mix.reweigh();
  }
  EXPECT_GT(mix.weights()[1], 0.8);
}

TEST(ExpertMix, WeighsAllTheSameBeforeItKnows) {
  ExpertMix<2> mix(0.9);
  mix.reweigh();
  EXPECT_DOUBLE_EQ(mix.mix({1.0, 3.0}), 2.0);
  mix.learn({1.0, 3.0}, 2.0, 5.0, 0.0);  // without a scale nothing is learned
  mix.reweigh();
  EXPECT_DOUBLE_EQ(mix.mix({1.0, 3.0}), 2.0);
}

}  // namespace
}  // namespace resilience
