#pragma warning disable
using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using System.Text.Json.Nodes;
using Lowbit.Core;
namespace Lowbit.Kernels.PartiallyBinarized;
public enum ScaleFormat { F16, F32 }
public enum PositionsEncoding { Bitmap, Coded }
public sealed record PackedPart(string Suffix, ElementFormat Format, ImmutableArray<long> Shape, byte[] Bytes);
public sealed record PackedPartiallyBinarized(IReadOnlyList<PackedPart> Parts, PartiallyBinarizedLayout Layout);
public static class PartiallyBinarizedPacking { public static PackedPartiallyBinarized Pack(PartiallyBinarizedCodes c, ScaleFormat f, PositionsEncoding p) => throw new NotImplementedException(); }
public sealed record PartiallyBinarizedLayout(int R, int C, int L, int H, int Lg, int Hg) { public JsonObject ToJson() => new(); }
public sealed class PartiallyBinarizedMatrix(string n, PartiallyBinarizedLayout l, Func<string, Tensor> f) : WeightMatrix(l.R, l.C)
{
    public override string Format => n;
    public override long Bytes => 0;
    public override unsafe void DequantizeRows(int r, int n, float* d) { _ = f; }
    public override unsafe void Multiply(WorkerPool pool, Activations x, float* y) { }
}
