using System;
using System.Threading;
using Lowbit.Core;

namespace Lowbit.Quantization.LinearAlgebra;

/// <summary>
/// The eigenvectors with the largest eigenvalues of a symmetric matrix without negative ones that is known by its products
/// only: subspace iteration from random vectors, some more than asked for, and a rotation to the axes in the end.
/// </summary>
/// <remarks>
/// Close eigenvalues are not told apart well, but then it does not matter much which of their vectors are taken. Every step is
/// in an order that does not depend on the number of threads.
/// </remarks>
internal static class LeadingDirections
{
    internal const int Spare = 8; // vectors beyond those asked for
    private const int Iterations = 16, Sweeps = 30;

    /// <summary>Replaces rows by their products with the matrix.</summary>
    /// <param name="vectors">[count, size].</param>
    /// <param name="count">Rows.</param>
    public delegate void Product(float[] vectors, int count);

    /// <summary>Finds the vectors.</summary>
    /// <param name="size">Rows and columns of the matrix.</param>
    /// <param name="count">How many vectors.</param>
    /// <param name="multiply">The matrix.</param>
    /// <param name="cancellation">Stops the work between two iterations.</param>
    /// <returns>[count, size], orthonormal rows, largest eigenvalue first.</returns>
    public static float[] Find(int size, int count, Product multiply, CancellationToken cancellation)
    {
        int basis = Math.Min(size, count + Spare);
        var random = new SplitMix64(1);
        var vectors = new float[(long)basis * size];
        foreach (ref float value in vectors.AsSpan()) value = Random(ref random);
        Orthonormalize(vectors, basis, size, ref random);
        var image = new float[vectors.Length];
        for (int i = 0; i < Iterations; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            if (i == Iterations - 1) vectors.CopyTo(image, 0);
            multiply(i == Iterations - 1 ? image : vectors, basis);
            if (i < Iterations - 1) Orthonormalize(vectors, basis, size, ref random);
        }
        return Rotate(vectors, image, basis, size, count);
    }

    // Gram and Schmidt, every vector twice; what depends on those before becomes random and is tried again.
    private static void Orthonormalize(float[] vectors, int count, int size, ref SplitMix64 random)
    {
        for (int k = 0; k < count; k++)
        {
            Span<float> vector = vectors.AsSpan(k * size, size);
            double before = Math.Sqrt(Vectors.Dot(vector, vector));
            for (int pass = 0; pass < 2; pass++)
                for (int i = 0; i < k; i++)
                {
                    ReadOnlySpan<float> other = vectors.AsSpan(i * size, size);
                    float share = (float)Vectors.Dot(vector, other);
                    for (int j = 0; j < size; j++) vector[j] -= share * other[j];
                }
            double norm = Math.Sqrt(Vectors.Dot(vector, vector));
            if (!(norm > 1e-6 * before))
            {
                foreach (ref float value in vector) value = Random(ref random);
                k--;
                continue;
            }
            float inverse = (float)(1 / norm);
            foreach (ref float value in vector) value *= inverse;
        }
    }

    // With Q the rows, B = Q · image is the matrix in their coordinates; its eigenvectors (Jacobi) turn them.
    private static float[] Rotate(float[] vectors, float[] image, int basis, int size, int count)
    {
        var b = new double[basis, basis];
        for (int i = 0; i < basis; i++)
            for (int j = 0; j < basis; j++) b[i, j] = Vectors.Dot(vectors.AsSpan(i * size, size), image.AsSpan(j * size, size));
        for (int i = 0; i < basis; i++)
            for (int j = 0; j < i; j++) b[i, j] = b[j, i] = (b[i, j] + b[j, i]) / 2;
        double[,] axes = Jacobi(b, basis);
        var order = new int[basis];
        var keys = new double[basis];
        for (int i = 0; i < basis; i++) (order[i], keys[i]) = (i, -b[i, i]);
        Array.Sort(keys, order);
        var result = new float[(long)count * size];
        for (int k = 0; k < count; k++)
            for (int i = 0; i < basis; i++)
            {
                float share = (float)axes[i, order[k]];
                for (int j = 0; j < size; j++) result[k * size + j] += share * vectors[i * size + j];
            }
        return result;
    }

    // Leaves the eigenvalues on the diagonal; returns the eigenvectors as columns.
    private static double[,] Jacobi(double[,] a, int n)
    {
        var v = new double[n, n];
        for (int i = 0; i < n; i++) v[i, i] = 1;
        for (int sweep = 0; sweep < Sweeps; sweep++)
        {
            double off = 0, all = 0;
            for (int p = 0; p < n; p++)
                for (int q = 0; q < n; q++)
                {
                    all += a[p, q] * a[p, q];
                    if (p != q) off += a[p, q] * a[p, q];
                }
            if (off <= 1e-20 * all) break;
            for (int p = 0; p < n; p++)
                for (int q = p + 1; q < n; q++)
                {
                    if (a[p, q] == 0) continue;
                    double theta = (a[q, q] - a[p, p]) / (2 * a[p, q]);
                    double t = (theta < 0 ? -1 : 1) / (Math.Abs(theta) + Math.Sqrt(theta * theta + 1)), c = 1 / Math.Sqrt(t * t + 1), s = t * c;
                    for (int i = 0; i < n; i++) (a[i, p], a[i, q]) = (c * a[i, p] - s * a[i, q], s * a[i, p] + c * a[i, q]);
                    for (int i = 0; i < n; i++) (a[p, i], a[q, i]) = (c * a[p, i] - s * a[q, i], s * a[p, i] + c * a[q, i]);
                    for (int i = 0; i < n; i++) (v[i, p], v[i, q]) = (c * v[i, p] - s * v[i, q], s * v[i, p] + c * v[i, q]);
                }
        }
        return v;
    }

    private static float Random(ref SplitMix64 random) => (float)(2 * random.NextDouble() - 1);
}
