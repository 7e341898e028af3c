using System;
using System.Numerics;
using Lowbit.Core;
using Lowbit.Kernels;
using Lowbit.Training.Model;

namespace Lowbit.Training.Operators;

/// <summary>
/// Output projection and cross entropy together, some rows at a time, so that the logits of a batch never lie in memory
/// all at once. With p = softmax(h·Wᵀ) the gradient of a row's logits is p − onehot(target). With a teacher whose
/// probabilities are q the loss is (1 − λ) · cross entropy + λ · KL(q‖p), and the gradient p − (1 − λ) · onehot(target) − λ · q.
/// </summary>
internal sealed unsafe class HeadLoss : IDisposable
{
    private const int ChunkLogits = 1 << 20, FewestRows = 128;

    private readonly WorkerPool _pool;
    private readonly Parameter _head;
    private readonly NativeBuffer _logits, _losses;
    private readonly int _rows;
    private NativeBuffer? _teacherLogits;

    /// <summary>Allocates the scratch memory.</summary>
    /// <param name="pool">Threads.</param>
    /// <param name="head">[vocabulary, features].</param>
    /// <param name="tokens">Most tokens of a call.</param>
    public HeadLoss(WorkerPool pool, Parameter head, int tokens)
    {
        _pool = pool;
        _head = head;
        _rows = Math.Min(tokens, Math.Max(FewestRows, ChunkLogits / head.Rows));
        _logits = new NativeBuffer((long)_rows * head.Rows * sizeof(float));
        _losses = new NativeBuffer((long)tokens * sizeof(double));
    }

    /// <summary>Sum of the losses, and gradients if asked for.</summary>
    /// <param name="hidden">[tokens, features].</param>
    /// <param name="targets">[tokens], the token that should follow; negative where none is scored.</param>
    /// <param name="tokens">Rows.</param>
    /// <param name="weight">What a row's loss is multiplied by in the gradients.</param>
    /// <param name="hiddenGradient">[tokens, features], overwritten; null to compute the loss alone.</param>
    /// <param name="teacher">Output projection of the teacher, of the same vocabulary; null without one.</param>
    /// <param name="teacherHidden">[tokens, features of the teacher].</param>
    /// <param name="teacherShare">λ.</param>
    public double Run(float* hidden, int* targets, int tokens, float weight, float* hiddenGradient, Parameter? teacher = null, float* teacherHidden = null, float teacherShare = 0)
    {
        if (teacher is not null) _teacherLogits ??= new NativeBuffer(_logits.Bytes);
        int features = _head.Columns, vocabulary = _head.Rows;
        float* head = _head.Value.Floats, logits = _logits.Floats;
        for (int first = 0; first < tokens; first += _rows)
        {
            int rows = Math.Min(_rows, tokens - first);
            float* chunk = hidden + (long)first * features;
            Gemm.MultiplyTransposed(_pool, chunk, features, head, features, logits, vocabulary, rows, vocabulary, features);
            if (teacher is not null)
                Gemm.MultiplyTransposed(_pool, teacherHidden + (long)first * teacher.Columns, teacher.Columns, teacher.Value.Floats, teacher.Columns, _teacherLogits!.Floats, vocabulary, rows, vocabulary, teacher.Columns);
            Work work = new()
            {
                TeacherLogits = teacher is null ? null : _teacherLogits!.Floats,
                TeacherShare = teacherShare,
                Logits = logits,
                Targets = targets + first,
                Losses = (double*)_losses.Pointer + first,
                Vocabulary = vocabulary,
                Weight = weight,
                WithGradient = hiddenGradient is not null,
            };
            _pool.Run(ref work, rows, 4);
            if (hiddenGradient is null) continue;
            float* gradient = hiddenGradient + (long)first * features;
            new Span<float>(gradient, checked(rows * features)).Clear();
            Gemm.MultiplyAdd(_pool, 1, logits, vocabulary, head, features, gradient, features, rows, features, vocabulary);
            if (_head.Gradient is { } headGradient)
                Gemm.MultiplyLeftTransposedAdd(_pool, logits, vocabulary, chunk, features, headGradient.Floats, features, vocabulary, features, rows);
        }
        double sum = 0;
        foreach (double loss in _losses.Span<double>(0, tokens)) sum += loss;
        return sum;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _logits.Dispose();
        _teacherLogits?.Dispose();
        _losses.Dispose();
    }

    private struct Work : IParallelWork
    {
        public float* Logits, TeacherLogits;
        public float TeacherShare;
        public int* Targets;
        public double* Losses;
        public int Vocabulary;
        public float Weight;
        public bool WithGradient;

        public readonly void Execute(int start, int end)
        {
            for (int t = start; t < end; t++)
            {
                Span<float> row = new(Logits + (long)t * Vocabulary, Vocabulary);
                int target = Targets[t];
                if (target < 0)
                {
                    Losses[t] = 0;
                    row.Clear();
                    continue;
                }
                float wanted = row[target], max = Softmax.Max(row);
                Span<float> teacher = TeacherLogits is null ? [] : new(TeacherLogits + (long)t * Vocabulary, Vocabulary);
                double fit = teacher.IsEmpty ? 0 : Probabilities(teacher) - Elementwise.Dot(teacher, row); // Σ q log q − Σ q · logit
                float sum = Softmax.Exponentiate(row, max);
                double total = Math.Log(sum) + max;
                Losses[t] = (1 - TeacherShare) * (total - wanted) + TeacherShare * (total + fit);
                if (!WithGradient) continue;
                Elementwise.Scale(Weight / sum, row);
                row[target] -= Weight * (1 - TeacherShare);
                if (!teacher.IsEmpty) Elementwise.AddScaled(-Weight * TeacherShare, teacher, row);
            }
        }

        // Logits become probabilities q; returns Σ q log q.
        private static double Probabilities(Span<float> logits)
        {
            float max = Softmax.Max(logits);
            Vector<float> maxima = new(max), products = default;
            int i = 0;
            for (; i <= logits.Length - Vector<float>.Count; i += Vector<float>.Count)
            {
                Vector<float> below = new Vector<float>(logits[i..]) - maxima;
                products += below * VectorMath.Exp(below);
            }
            double product = Vector.Sum(products);
            for (; i < logits.Length; i++) product += (logits[i] - max) * MathF.Exp(logits[i] - max);
            float sum = Softmax.Exponentiate(logits, max);
            Elementwise.Scale(1 / sum, logits);
            return product / sum - Math.Log(sum);
        }
    }
}
