using Lowbit.Quantization.Methods;
using Xunit;

namespace Lowbit.Quantization.Tests.Methods;

public sealed class OutputErrorTests
{
    [Theory]
    [InlineData(3, 5)]
    [InlineData(300, 20)]
    [InlineData(20, 300)]
    public void Hessian_and_definition_agree(int rows, int columns)
    {
        const int Tokens = 64;
        float[] inputs = Samples.Inputs(Tokens, columns, 1), weight = Samples.Normal(rows * columns, 2), noise = Samples.Normal(rows * columns, 3, 0.1f);
        float[] quantized = new float[weight.Length];
        for (int i = 0; i < quantized.Length; i++) quantized[i] = weight[i] + noise[i];
        double expected = Samples.OutputError(weight, quantized, rows, inputs);
        double fromHessian = OutputError.FromHessian(Samples.Pool, weight, quantized, rows, Samples.HessianOf(inputs, columns));
        Assert.InRange(fromHessian / expected, 1 - 1e-5, 1 + 1e-5);
    }

    [Fact]
    public void Perfect_copy_is_zero_and_nothing_is_one()
    {
        float[] weight = Samples.Normal(12, 1), zeros = new float[12], inputs = Samples.Inputs(9, 4, 2);
        using var hessian = Samples.HessianOf(inputs, 4);
        Assert.Equal(0, OutputError.FromHessian(Samples.Pool, weight, weight, 3, hessian));
        Assert.Equal(1, OutputError.FromHessian(Samples.Pool, weight, zeros, 3, hessian));
    }
}
